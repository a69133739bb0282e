"""Runs in lock-step are runs like any other: the same contract, the same results, and each fails for itself."""

import logging
import shutil
import threading
import time
from pathlib import Path

import jax
import pytest

from mbrl.config import ConfigError, compose, resolved, to_yaml
from mbrl.envs.watched import Watched
from mbrl.launch import launch
from mbrl.launchers.job import Job
from mbrl.launchers.vectorized import carry_out_together
from mbrl.runs.difference import differences
from mbrl.runs.folder import write_json, write_whole
from mbrl.runs.reader import read_metrics, read_provenance, read_summary, status
from mbrl.runs.stopping import Interrupted, StopRequest
from tests.faults.runs import BREAKABLE, PLANNERS, lost, resume_here, settings

pytestmark = pytest.mark.slow

TOLERANCE = (
    1e-3  # relative; of runs so short that no digit that differs has come to decide an action
)
NAMES = ("act", "act_all", "learn")
CARTPOLE = settings(
    "mcts", "discrete"
)  # whose episodes, and so evaluations, end at different times
PENDULUM = settings("cem", "continuous")
FRAGILE = (
    "training=smoke",
    "logger=files",
    *BREAKABLE,
    *PLANNERS["mcts"],
    "training.env_steps=80",
    "env.step_timeout=1.0",
)
RANDOM = ("training=smoke", "logger=files", "planner=random", "model.num_members=2")


@pytest.fixture(autouse=True)
def forgotten_programs_of_each_test():
    """All of this file's would be too many."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def log_as_before():
    """A run on its own takes the whole log to its folder."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.handlers[:], root.level = handlers, level


def written(folder: Path, *overrides: str, seeds=(0, 1, 2)) -> list[Path]:
    """Runs that are written down, as a sweep's jobs are."""
    folders = [folder / f"seed{seed}" for seed in seeds]
    for each, seed in zip(folders, seeds, strict=True):
        config = compose([*overrides, f"seed={seed}"])
        each.mkdir(parents=True)
        write_json(each / "provenance.json", launch(config).identity() | {"name": each.name})
        write_whole(each / "config.yaml", to_yaml(resolved(config)))
    return folders


def alone(folder: Path, *overrides: str, seeds=(0, 1, 2)) -> list[Path]:
    folders = written(folder, *overrides, seeds=seeds)
    for each in folders:
        Job(each, trust=("tests",)).carry_out()
    return folders


@pytest.fixture(scope="module")
def alone_on_cartpole(tmp_path_factory) -> Path:
    """Three runs, each by itself."""
    return alone(tmp_path_factory.mktemp("alone"), *CARTPOLE)[0].parent


@pytest.fixture(scope="module")
def together_on_cartpole(tmp_path_factory) -> Path:
    """The same three, everything of them in lock-step."""
    folder = tmp_path_factory.mktemp("together")
    carry_out_together(written(folder, *CARTPOLE), together=NAMES)
    return folder


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> list[Path]:
    """Three runs, each by itself, to which nothing happens."""
    return alone(tmp_path_factory.mktemp("unbroken"), *FRAGILE)


def largest(folder: Path, reference: Path) -> float:
    """The largest relative difference of a metric."""
    return max(
        (each.largest for each in differences(read_metrics(reference), read_metrics(folder))),
        default=0.0,
    )


@pytest.mark.parametrize("task", ["cartpole", "pendulum"])
def test_each_seed_is_what_it_is_alone(tmp_path, task, alone_on_cartpole):
    given = CARTPOLE if task == "cartpole" else PENDULUM
    references = (
        sorted(alone_on_cartpole.iterdir())
        if task == "cartpole"
        else alone(tmp_path / "wanted", *PENDULUM)
    )
    own, decisions = tmp_path / "own", tmp_path / "decisions"
    carry_out_together(written(own, *given), together=())
    carry_out_together(written(decisions, *given))
    for reference in references:
        assert lost(own / reference.name, reference) == 0
        assert largest(decisions / reference.name, reference) <= TOLERANCE


def test_runs_that_learn_together_leave_what_a_run_leaves(together_on_cartpole):
    for place, folder in enumerate(sorted(together_on_cartpole.iterdir())):
        assert status(folder) == "completed"
        assert (folder / "learning_curve.png").exists()
        facts = read_provenance(folder)
        assert facts["lockstep"] == {"runs": 3, "place": place, "chunk": 3, "together": list(NAMES)}
        assert facts["name"] == folder.name


def test_the_same_runs_together_again_have_the_same_bits(tmp_path, together_on_cartpole):
    again = written(tmp_path, *CARTPOLE)
    carry_out_together(again, together=NAMES)
    assert [lost(folder, together_on_cartpole / folder.name) for folder in again] == [0, 0, 0]


def test_those_that_differ_in_more_than_the_seed_are_groups_of_their_own(tmp_path):
    folders = written(tmp_path / "one", *RANDOM, seeds=(0, 1)) + written(
        tmp_path / "other", *RANDOM, "training.env_steps=80", seeds=(0,)
    )
    carry_out_together(folders, max_together=2)
    assert [read_provenance(folder)["lockstep"]["runs"] for folder in folders] == [2, 2, 1]
    assert [read_summary(folder)["env_steps"] for folder in folders] == [60, 60, 80]


def in_thread(name: str, deed):
    """`Watched.step`, but in the thread of one run the 50th real step of collection does something else."""
    step, count = Watched.step, [0]

    def patched(self, action):
        if threading.current_thread().name == name:
            count[0] += 1
            if count[0] == 50:
                deed(self)
        return step(self, action)

    return patched


def raising(env):
    with env._watching("the table"):
        raise KeyError("the robot fell off")


def hanging(env):
    with env._watching("the table"):
        time.sleep(6)


@pytest.mark.parametrize(
    ("deed", "said"),
    [(raising, "the robot fell off"), (hanging, "did not return within env.step_timeout")],
)
def test_a_run_that_fails_leaves_the_others_what_they_are(
    tmp_path, monkeypatch, caplog, unbroken, deed, said
):
    folders = written(tmp_path, *FRAGILE)
    monkeypatch.setattr(Watched, "step", in_thread("seed1", deed))
    carry_out_together(folders, ["trust=[tests]"], together=())
    assert [read_summary(folder)["status"] for folder in folders] == [
        "completed",
        "failed",
        "completed",
    ]
    assert said in read_summary(folders[1])["error"]
    assert "the others go on" in caplog.text
    assert [lost(folders[i], unbroken[i]) for i in (0, 2)] == [0, 0]
    while any(thread.name == "seed1" for thread in threading.enumerate()):
        time.sleep(0.1)  # who hung comes back, and ends
    monkeypatch.undo()
    resume_here(folders[1], "trust=[tests]")
    assert lost(folders[1], unbroken[1]) == 0


def test_what_cannot_be_taken_up_fails_alone(tmp_path):
    folders = written(tmp_path, *RANDOM, seeds=(0, 1))
    (folders[0] / "config.yaml").write_text("seed: nonsense")
    carry_out_together(folders)
    assert [status(folder) for folder in folders] == ["never started", "completed"]
    refused = written(tmp_path / "refused", "planner=greedy", "model/value=none", seeds=(0, 1))
    carry_out_together(refused)
    assert all("value" in read_summary(folder)["error"] for folder in refused)
    with pytest.raises(ConfigError, match="max_together=0 must be at least 1"):
        carry_out_together(folders, max_together=0)


@pytest.mark.parametrize("together", [(), NAMES])
def test_a_group_that_is_asked_to_stop_checkpoints_and_is_taken_up(
    tmp_path, monkeypatch, alone_on_cartpole, together
):
    folders, count = written(tmp_path, *CARTPOLE), [0]

    def stopping(request):
        count[0] += 1
        return count[0] > 250

    with monkeypatch.context() as patched:
        patched.setattr(StopRequest, "__call__", stopping)
        with pytest.raises(Interrupted, match="go on with"):
            carry_out_together(folders, together=together)
    assert [status(folder) for folder in folders] == ["interrupted"] * 3
    assert all(0 < read_summary(folder)["env_steps"] < 160 for folder in folders)
    resume_here(folders[0])  # by itself
    carry_out_together(folders[1:], together=together)
    for folder in folders:
        assert status(folder) == "completed"
        assert len(read_provenance(folder)["resumes"]) == 1
        if not together:
            assert lost(folder, alone_on_cartpole / folder.name) == 0


def test_rows_to_be_met_again_are_set_aside_in_lockstep(tmp_path, together_on_cartpole):
    folder = tmp_path / "seed0"
    shutil.copytree(together_on_cartpole / "seed0", folder)
    row = dict(read_metrics(folder)[-1], env_steps=200)
    (folder / "metrics.superseded.jsonl").write_text('{"env_steps": 180, "learn/updates": -1}\n')
    resume_here(folder, "training.env_steps=200")
    assert (folder / "metrics.superseded.1.jsonl").exists()
    assert read_metrics(folder)[-1].keys() == row.keys()


def test_each_run_has_its_log_and_no_other(tmp_path, monkeypatch):
    def full(*unused):
        raise OSError("the disk is full")

    monkeypatch.setattr("mbrl.experiment.save_checkpoint", full)
    folders = written(tmp_path, *RANDOM, "training.checkpoint_every=null", seeds=(0, 1))
    before = list(logging.getLogger().handlers)
    carry_out_together(folders)
    assert logging.getLogger().handlers == before
    assert [(folder / "run.log").read_text().count("the disk is full") for folder in folders] == [
        1,
        1,
    ]
