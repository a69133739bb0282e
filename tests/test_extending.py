"""A planner of your own, exactly as docs/planners.md adds it: one Python file and one YAML file."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def code_block(page: Path, language: str) -> str:
    """The page's only block in that language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)
    return block


@pytest.mark.slow
@pytest.mark.parametrize("actions", ["box", "multi_discrete"])
def test_a_planner_is_one_python_file_and_one_yaml_file(tmp_path, actions):
    page = ROOT / "docs" / "planners.md"
    for name, language in (
        ("my_planners/persistent.py", "python"),
        ("my_conf/planner/persistent.yaml", "yaml"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(code_block(page, language))
    where = ["--config-dir", str(tmp_path / "my_conf"), f"hydra.run.dir={tmp_path / 'run'}"]
    what = [
        "planner=persistent",
        "trust=[my_planners]",
        "env=point_mass",
        f"env.kwargs.actions={actions}",
        "training=smoke",
        "logger=files",
    ]
    subprocess.run(
        [sys.executable, ROOT / "run.py", *where, *what],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        timeout=300,
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert math.isfinite(summary["planner/score_best"])  # the new planner's own metric
