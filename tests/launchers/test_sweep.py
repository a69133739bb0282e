"""Sweeps by their commands: what each launcher computes, and what remains after a kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mbrl.commands.resume import main as resume
from mbrl.errors import ConfigError
from mbrl.launchers.job import usable_cores
from mbrl.launchers.sweep import lock_sweep
from mbrl.runs.finder import runs_in
from mbrl.runs.folder import lock
from mbrl.runs.reader import read_provenance, read_summary, status
from tests.faults.runs import PLANNERS, ROOT, lost, run_here

pytestmark = pytest.mark.slow

SMALL = ("training=smoke", "logger=files", "env.episode_limit=50", "model.num_members=2")
MCTS = (*SMALL, *PLANNERS["mcts"])
# Long enough to be interrupted after its first checkpoint; starting takes most of its time.
RANDOM = (*SMALL, "planner=random", "training.env_steps=300", "training.evaluate_every=1000")
# Nothing is learned.
SHORTEST = (*SMALL[:3], "planner=random", "model=oracle", "model/value=none")

LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib",),
    "submitit": ("hydra/launcher=submitit_slurm", "hydra.launcher.cluster=local"),
    "ray": ("hydra/launcher=ray",),
}


def start(folder: Path, *overrides: str) -> subprocess.Popen:
    """Start a sweep in a process whose working directory is `folder`."""
    command = [sys.executable, str(ROOT / "run.py"), "-m", *overrides]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def sweep(folder: Path, *overrides: str) -> tuple[int, str, str]:
    """Run a sweep. Returns its exit status, stdout and stderr."""
    process = start(folder, *overrides)
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def start_and_wait_for_checkpoint(folder: Path, *overrides: str) -> subprocess.Popen:
    """Start a sweep that runs one job at a time, and wait until the first has a checkpoint."""
    process = start(folder.parent, *overrides, f"hydra.sweep.dir={folder}")
    deadline = time.monotonic() + 120
    while not list(folder.glob("*/checkpoint/*.npz")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """A sweep by the local launcher, with which the others are compared."""
    folder = tmp_path_factory.mktemp("local")
    ended, output, errors = sweep(folder, *RANDOM, "seed=0,1", f"hydra.sweep.dir={folder}")
    assert ended == 0, errors
    assert "To compare them: python -m mbrl compare" in output
    return folder


def assert_same_jobs(folder: Path, reference: Path) -> None:
    jobs, expected = runs_in(folder), runs_in(reference)
    assert [job.name for job in jobs] == [job.name for job in expected]
    assert [lost(job, other) for job, other in zip(jobs, expected, strict=True)] == [0, 0]
    for job in jobs:
        files = sorted(path.name for path in (job / ".hydra").iterdir())
        assert files == ["config.yaml", "hydra.yaml", "overrides.yaml"]
        assert (job / "run.log").exists()


def test_a_job_equals_the_same_run_alone(tmp_path, reference):
    first, second = runs_in(reference)
    assert [first.name, second.name] == ["0_seed=0", "1_seed=1"]
    assert lost(second, run_here(tmp_path / "alone", *RANDOM, "seed=1")) == 0
    assert read_summary(first)["status"] == "completed"
    hydra = {file.stem: yaml.safe_load(file.read_text()) for file in second.glob(".hydra/*.yaml")}
    assert "seed=1" in hydra["overrides"]
    assert hydra["hydra"]["hydra"]["job"]["num"] == 1
    assert "model" in hydra["config"]
    assert read_provenance(second)["group"] == "/".join(reference.parts[-2:])


@pytest.mark.extras
@pytest.mark.parametrize("launcher", ["submitit", "ray"])
def test_every_launcher_gives_identical_results(tmp_path, reference, launcher):
    folder = tmp_path / "s"
    settings = (*RANDOM, "seed=0,1", *LAUNCHERS[launcher], f"hydra.sweep.dir={folder}")
    ended, output, errors = sweep(tmp_path, *settings)
    assert ended == 0, output + errors
    assert_same_jobs(folder, reference)


def test_two_sweeps_that_start_together_have_separate_folders(tmp_path):
    both = [start(tmp_path, *SHORTEST, "seed=0", f"discount={value}") for value in (0.9, 0.8)]
    errors = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    folders = sorted(tmp_path.glob("outputs/sweeps/*/*"))
    assert len(folders) == 2
    jobs = [job for folder in folders for job in runs_in(folder)]
    found = [(yaml.safe_load((job / "config.yaml").read_text())["discount"], job) for job in jobs]
    assert sorted((value, status(job)) for value, job in found) == [
        (0.8, "completed"),
        (0.9, "completed"),
    ]


def test_a_failed_job_is_named_and_stops_no_other(tmp_path):
    joblib = ("hydra/launcher=joblib", "hydra.sweep.dir=s")
    ended, output, errors = sweep(tmp_path, *MCTS, "seed=-1,0", *joblib)
    failed, done = runs_in(tmp_path / "s")
    assert [failed.name, done.name] == ["0_seed=-1", "1_seed=0"]
    assert (ended, status(failed), status(done)) == (1, "failed", "completed")
    assert f"{failed.name}: seed=-1" in output
    assert "1 of 2 jobs are not completed. To finish them: python -m mbrl resume s" in output
    assert "seed=-1" in errors
    assert lost(done, run_here(tmp_path / "alone", *MCTS)) == 0


def test_another_launcher_completes_a_sweep(tmp_path, reference):
    folder = tmp_path / "s"
    shutil.copytree(reference, folder)
    completed, removed = runs_in(folder)
    shutil.rmtree(removed)
    before = {path: path.stat().st_mtime_ns for path in completed.rglob("*")}
    settings = (*RANDOM, "seed=0,1", f"hydra.sweep.dir={folder}", "hydra/launcher=joblib")
    ended, _, errors = sweep(tmp_path, *settings)
    assert ended == 0, errors
    assert_same_jobs(folder, reference)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("launcher", "one_at_a_time", "signum"),
    [
        ("joblib", "hydra.launcher.n_jobs=1", signal.SIGINT),
        pytest.param(
            "submitit",
            "hydra.launcher.slurm_array_parallelism=1",
            signal.SIGTERM,
            marks=pytest.mark.extras,
        ),
        pytest.param(
            "ray",
            f"hydra.launcher.num_cpus_per_job={usable_cores()}",
            signal.SIGTERM,
            marks=pytest.mark.extras,
        ),
    ],
)
def test_an_interrupted_sweep_saves_checkpoints_and_can_be_resumed(
    tmp_path, reference, launcher, one_at_a_time, signum
):
    folder = tmp_path / "s"
    settings = (*RANDOM, "seed=0,1", *LAUNCHERS[launcher], one_at_a_time)
    process = start_and_wait_for_checkpoint(folder, *settings)
    with pytest.raises(ConfigError, match="Another sweep is running in"):
        lock_sweep(folder)
    process.send_signal(signum)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 128 + signum, errors
    assert "2 of 2 jobs are not completed" in output
    assert [status(job) for job in runs_in(folder)] == ["interrupted", "never started"]
    if launcher == "joblib":  # a resume does not depend on the launcher
        assert resume([str(folder)]) == 0
        assert_same_jobs(folder, reference)


def test_a_job_that_outlives_its_sweep_is_not_started_twice(tmp_path, reference):
    folder = tmp_path / "s"
    settings = (*RANDOM, "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1")
    process = start_and_wait_for_checkpoint(folder, *settings)
    process.kill()
    process.communicate()
    first, second = runs_in(folder)
    deadline = time.monotonic() + 120
    while status(first) == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert status(first) == "completed"
    again = (*settings, f"hydra.sweep.dir={folder}")
    held = lock(second)  # as if it had not ended
    ended, _, errors = sweep(tmp_path, *again)
    os.close(held)
    assert ended == 1
    assert "is still running. Wait until it ends, then give the same command again" in errors
    ended, _, errors = sweep(tmp_path, *again)
    assert ended == 0, errors
    assert_same_jobs(folder, reference)


def test_an_environment_variable_reaches_the_jobs(tmp_path):
    value = "--xla_cpu_enable_fast_math=false"
    for launcher in ("local", "joblib"):
        chosen = (f"hydra.sweep.dir={tmp_path / launcher}", f"hydra/launcher={launcher}")
        variable = f"+hydra.job.env_set.XLA_FLAGS='{value}'"
        ended, _, errors = sweep(tmp_path, *SHORTEST, variable, *chosen)
        assert ended == 0, errors
        (job,) = runs_in(tmp_path / launcher)
        assert read_provenance(job)["threads"]["XLA_FLAGS"] == value
    with pytest.raises(ConfigError, match=f"the run was started with '{value}'"):
        resume([str(job), "training.env_steps=80"])


def test_other_programs_keep_hydra_s_own_launcher(tmp_path):
    lines = [
        "import hydra",
        "@hydra.main(version_base='1.3', config_path=None)",
        "def main(config):",
        "    print(config.x)",
        "main()",
    ]
    (tmp_path / "other.py").write_text("\n".join(lines))
    result = subprocess.run(
        [sys.executable, "other.py", "-m", "+x=1,2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == "2"
