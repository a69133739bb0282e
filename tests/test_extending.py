"""Parts of your own, exactly as the documentation adds them: one Python and one YAML file each."""

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


def run_as_written(folder: Path, page: str, names: dict[str, str], *what: str) -> dict:
    """Writes the page's blocks into files, by language, and runs the config; the run's summary."""
    for language, name in names.items():
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_text(code_block(ROOT / "docs" / page, language))
    where = ["--config-dir", str(folder / "my_conf"), f"hydra.run.dir={folder / 'run'}"]
    subprocess.run(
        [sys.executable, ROOT / "run.py", *where, *what, "training=smoke", "logger=files"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        check=True,
        capture_output=True,
        timeout=300,
    )
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["status"] == "completed"
    return summary


@pytest.mark.slow
@pytest.mark.parametrize("actions", ["box", "multi_discrete"])
def test_a_planner_is_one_python_file_and_one_yaml_file(tmp_path, actions):
    names = {"python": "my_planners/persistent.py", "yaml": "my_conf/planner/persistent.yaml"}
    what = ["planner=persistent", "trust=[my_planners]"]
    point_mass = ["env=point_mass", f"env.kwargs.actions={actions}"]
    summary = run_as_written(tmp_path, "planners.md", names, *what, *point_mass)
    assert math.isfinite(summary["planner/score_best"])  # the new planner's own metric


@pytest.mark.slow
@pytest.mark.parametrize("planner", ["cem", "mcts"])
def test_a_learner_is_one_python_file_and_one_yaml_file(tmp_path, planner):
    names = {"python": "my_models/linear.py", "yaml": "my_conf/model/linear.yaml"}
    what = ["model=linear", "trust=[my_models]", f"planner={planner}", "env=pendulum"]
    summary = run_as_written(tmp_path, "learners.md", names, *what, "env.episode_limit=50")
    # Squared errors of change and reward; the mean square of the rewards alone is above 10.
    assert summary["loss/linear"] < 1
