"""Folders of sweeps that hold links and pipes: nothing runs, and nothing outside is written."""

import os
import subprocess
import sys
from functools import cache

import pytest
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode

from mbrl.commands.resume import main as resume
from mbrl.config.hydra_internals import Callbacks, config_loader, use_own_plugins
from mbrl.errors import CorruptRun
from tests.faults.runs import ROOT

FIRST, SECOND = "0_seed=0", "1_seed=1"
OF_SWEEP = ("multirun.yaml", "sweep.json", ".lock", ".submitit", SECOND)
OF_JOB = (".hydra", "run.log", ".lock", "config.yaml", "provenance.json", "summary.json")
OF_JOB += ("metrics.jsonl", "checkpoint", "learning_curve.png")
OF_SEARCH = (".search.lock", "optuna.db", "optuna.db-journal", "best_command.txt")
OF_JOB += ("checkpoint/0.npz", ".hydra/overrides.yaml")
PLACES = [*OF_SWEEP, *(f"{SECOND}/{name}" for name in OF_JOB)]


@pytest.fixture
def outside(tmp_path):
    """A folder whose content must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "0000000020.npz").write_text("precious")
    return folder


@cache
def composed(*overrides):
    return config_loader().load_configuration("config", list(overrides), RunMode.MULTIRUN)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a sweep or a search in the folder `theirs`, as Hydra does."""
    use_own_plugins()
    monkeypatch.chdir(tmp_path)

    def start(hydra, swept):
        sweeper = Plugins.instance().instantiate_sweeper(
            hydra_context=HydraContext(config_loader=config_loader(), callbacks=Callbacks()),
            task_function=lambda config: None,
            config=composed("hydra.sweep.dir=theirs", hydra, "training=smoke", swept),
        )
        sweeper.sweep(["training=smoke", swept])

    return start


def put(kind, path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(target)


def content(folder):
    return {
        path.relative_to(folder): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
        if not path.is_fifo()
    }


def assert_refused(function, tmp_path, *arguments):
    before = content(tmp_path)
    with pytest.raises(CorruptRun, match=r"is (a link to .*|not a regular file), which no run"):
        function(*arguments)
    assert content(tmp_path) == before


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_follows_no_link_and_waits_for_no_pipe(
    start, tmp_path, outside, launcher, place, kind
):
    put(kind, tmp_path / "theirs" / place, outside)
    assert_refused(start, tmp_path, f"hydra/launcher={launcher}", "seed=0,1")


@pytest.mark.extras
@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("place", [*OF_SEARCH, *PLACES])
def test_a_search_follows_no_link_and_waits_for_no_pipe(start, tmp_path, outside, place, kind):
    put(kind, tmp_path / "theirs" / place, outside)
    assert_refused(start, tmp_path, "hydra/sweeper=optuna", "discount=0.9,0.99")


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("place", [*OF_SEARCH, *PLACES])
def test_resume_follows_no_link_and_waits_for_no_pipe(tmp_path, outside, place, kind):
    put(kind, tmp_path / "theirs" / place, outside)
    first = tmp_path / "theirs" / FIRST / "config.yaml"
    first.parent.mkdir(exist_ok=True)
    first.write_text("seed: 0")
    assert_refused(resume, tmp_path, [str(tmp_path / "theirs")])


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_command_ends_with_one_sentence_before_any_job_runs(tmp_path, outside, launcher):
    put("link", tmp_path / "theirs" / SECOND / ".hydra", outside)
    before = content(tmp_path)
    folder = f"hydra.sweep.dir={tmp_path / 'theirs'}"
    command = [str(ROOT / "run.py"), "-m", "training=smoke", "seed=0,1", folder]
    result = subprocess.run(
        [sys.executable, *command, f"hydra/launcher={launcher}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    [sentence] = result.stderr.splitlines()
    assert sentence.startswith(f"Error: {tmp_path / 'theirs' / SECOND / '.hydra'} is a link to")
    assert content(tmp_path) == before
