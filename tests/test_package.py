"""What `import mbrl` offers, and what it costs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mbrl
from mbrl.config.compose import compose
from mbrl.experiment import run

ROOT = Path(__file__).parent.parent
HEAVY = {"jax", "matplotlib", "wandb", "gymnasium", "equinox", "pandas"}


def modules_after(code: str) -> set[str]:
    code = f"import sys, json\n{code}\njson.dump(sorted(sys.modules), sys.stdout)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(result.stdout))


def test_the_names_for_notebooks_are_those_of_their_modules():
    assert (mbrl.compose, mbrl.run) == (compose, run)
    assert {"compose", "load_metrics", "run", "__version__"} <= set(dir(mbrl))
    for name in mbrl.__all__:
        assert getattr(mbrl, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'planer'"):
        mbrl.planer  # noqa: B018


@pytest.mark.slow
def test_importing_the_package_imports_nothing_else_and_reading_runs_no_jax():
    assert not modules_after("import mbrl") & {*HEAVY, "numpy", "hydra"}
    assert not modules_after("import mbrl; mbrl.load_metrics") & {*HEAVY, "hydra"}
    assert not modules_after("import mbrl; mbrl.compose(['planner=mcts'])") & HEAVY
