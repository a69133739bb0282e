"""Sweeps as their user meets them: what each launcher computes, what is refused, what is left when one is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mbrl.errors import ConfigError
from mbrl.launchers.sweep import lock_sweep
from mbrl.runs.finder import runs_in
from mbrl.runs.folder import lock
from mbrl.runs.reader import read_provenance, read_summary, status
from tests.faults.runs import PLANNERS, ROOT, lost, run_here

pytestmark = pytest.mark.slow

QUICK = ("training=smoke", "logger=files", "env.episode_limit=50", "model.num_members=2")
SMALL = (*QUICK, *PLANNERS["mcts"])


def start(folder: Path, *overrides: str) -> subprocess.Popen:
    """A sweep in a process of its own, whose default folders lie below `folder`."""
    command = [sys.executable, str(ROOT / "run.py"), "-m", *overrides]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def sweep(folder: Path, *overrides: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a sweep."""
    running = start(folder, *overrides)
    said, complaints = running.communicate(timeout=300)
    return running.returncode, said, complaints


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory) -> Path:
    """What all other launchers must come to."""
    folder = tmp_path_factory.mktemp("local")
    ended, said, complaints = sweep(
        folder, *SMALL, "model.num_members=1,2", f"hydra.sweep.dir={folder}"
    )
    assert ended == 0, complaints
    assert (
        f"To compare them: python -m mbrl compare {folder}" in said
        or "To compare them: python -m mbrl compare ." in said
    )
    return folder


def test_jobs_one_after_the_other_are_what_each_is_alone(tmp_path, one_by_one):
    first, second = runs_in(one_by_one)
    assert lost(second, run_here(tmp_path / "alone", *SMALL)) == 0
    assert read_summary(first)["status"] == "completed"
    assert "model.num_members=2" in yaml.safe_load(
        (second / ".hydra" / "overrides.yaml").read_text()
    )
    assert (
        yaml.safe_load((second / ".hydra" / "hydra.yaml").read_text())["hydra"]["job"]["num"] == 1
    )
    assert "model" in yaml.safe_load((second / ".hydra" / "config.yaml").read_text())
    assert read_provenance(second)["group"] == "/".join(one_by_one.parts[-2:])


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_every_launcher_comes_to_the_same_bits(tmp_path, one_by_one, launcher):
    ended, said, complaints = sweep(
        tmp_path,
        *SMALL,
        "model.num_members=1,2",
        f"hydra/launcher={launcher}",
        f"hydra.sweep.dir={tmp_path / 's'}",
    )
    assert ended == 0, said + complaints
    jobs = runs_in(tmp_path / "s")
    assert [job.name for job in jobs] == [job.name for job in runs_in(one_by_one)]
    for job, wanted in zip(jobs, runs_in(one_by_one), strict=True):
        assert lost(job, wanted) == 0
        assert sorted(path.name for path in (job / ".hydra").iterdir()) == [
            "config.yaml",
            "hydra.yaml",
            "overrides.yaml",
        ]
        assert (job / "run.log").exists()


def test_two_sweeps_that_start_together_lose_nothing(tmp_path):
    both = [
        start(tmp_path, *QUICK, "planner=random", "seed=0,1", f"discount={discount}")
        for discount in (0.9, 0.8)
    ]
    complaints = [running.communicate(timeout=300)[1] for running in both]
    assert [running.returncode for running in both] == [0, 0], complaints
    folders = sorted(tmp_path.glob("outputs/sweeps/*/*"))
    assert len(folders) == 2
    found = [
        (yaml.safe_load((job / "config.yaml").read_text())["discount"], status(job))
        for folder in folders
        for job in runs_in(folder)
    ]
    assert sorted(found) == [(0.8, "completed")] * 2 + [(0.9, "completed")] * 2


def test_a_job_that_fails_leaves_the_others_alone_and_is_named(tmp_path):
    ended, said, complaints = sweep(
        tmp_path,
        *QUICK,
        "planner=random",
        "seed=-1,0",
        "hydra/launcher=joblib",
        "hydra.sweep.dir=s",
    )
    failed, done = runs_in(tmp_path / "s")
    assert [failed.name, done.name] == ["0_seed=-1", "1_seed=0"]  # not what both were given
    assert (ended, status(failed), status(done)) == (1, "failed", "completed")
    assert f"{failed.name}: seed=-1 must be a whole number" in said
    assert "1 of 2 jobs are not completed; to finish them: python -m mbrl resume s" in said
    assert "seed=-1 must be a whole number" in complaints


def test_the_same_command_goes_on_with_a_sweep_and_another_is_refused(tmp_path, one_by_one):
    folder = tmp_path / "s"
    shutil.copytree(one_by_one, folder)
    done, gone = runs_in(folder)
    shutil.rmtree(gone)
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*")}
    sweep_folder = f"hydra.sweep.dir={folder}"
    # Before anything was computed of the second job, nor was it written down.
    result = subprocess.run(
        [sys.executable, "-m", "mbrl", "resume", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 2
    assert "lacks 1 of its 2 jobs" in result.stderr
    ended, _, complaints = sweep(tmp_path, *SMALL, "model.num_members=1,3", sweep_folder)
    assert ended == 1
    assert "already holds another sweep" in complaints
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [done.name]
    ended, _, complaints = sweep(
        tmp_path, *SMALL, "model.num_members=1,2", sweep_folder, "hydra/launcher=joblib"
    )
    assert ended == 0, complaints
    assert lost(gone, runs_in(one_by_one)[1]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_sweep_that_has_hydra_s_own_names_goes_on_under_them(tmp_path):
    settings = (*QUICK, "planner=random", "seed=0,1", "hydra.sweep.dir=s")
    assert sweep(tmp_path, *settings)[0] == 0
    old = [
        f"{seed}_env.episode_limit=50,logger=files,model.num_members=2,planner=random,seed={seed},training=smoke"
        for seed in (0, 1)
    ]
    for job, name in zip(runs_in(tmp_path / "s"), old, strict=True):
        job.rename(job.with_name(name))
    ended, _, complaints = sweep(tmp_path, *settings)
    assert ended == 0, complaints
    assert [job.name for job in runs_in(tmp_path / "s")] == old


ONE_AT_A_TIME = {
    "joblib": "hydra.launcher.n_jobs=1",
    "submitit_local": "hydra.launcher.jobs_at_once=1",
    "ray": "num_threads=1",
}


def started_and_begun(folder: Path, launcher: str, *overrides: str) -> subprocess.Popen:
    """A sweep whose first job has written a checkpoint."""
    running = start(
        folder.parent,
        *overrides,
        f"hydra.sweep.dir={folder}",
        f"hydra/launcher={launcher}",
        ONE_AT_A_TIME[launcher],
    )
    give_up = time.monotonic() + 120
    while not list(folder.glob("*/checkpoint/*.npz")) and time.monotonic() < give_up:
        time.sleep(0.05)
    return running


@pytest.mark.parametrize(
    ("launcher", "signum"),
    [("joblib", signal.SIGINT), ("submitit_local", signal.SIGTERM), ("ray", signal.SIGTERM)],
)
def test_a_sweep_that_is_asked_to_stop_is_finished_by_resume(
    tmp_path, one_by_one, launcher, signum
):
    folder = tmp_path / "s"
    running = started_and_begun(folder, launcher, *SMALL, "model.num_members=1,2")
    with pytest.raises(ConfigError, match="Another sweep is running in"):
        lock_sweep(folder)
    running.send_signal(signum)
    said, complaints = running.communicate(timeout=200)
    assert running.returncode == 128 + signum, complaints
    assert "2 of 2 jobs are not completed" in said
    states = [status(job) for job in runs_in(folder)]
    assert states[0] == "interrupted"
    assert (
        launcher == "ray" or states[1] == "never started"
    )  # Ray may have begun it on the other core
    command = [sys.executable, "-m", "mbrl", "resume", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [
        lost(job, wanted) for job, wanted in zip(runs_in(folder), runs_in(one_by_one), strict=True)
    ] == [0, 0]


def test_a_sweep_that_was_killed_waits_for_what_outlived_it(tmp_path, one_by_one):
    folder, overrides = tmp_path / "s", (*SMALL, "model.num_members=1,2")
    running = started_and_begun(folder, "joblib", *overrides)
    running.kill()
    running.communicate()
    wait_for_the_orphan(runs_in(folder)[0])
    again = (*overrides, f"hydra.sweep.dir={folder}", "hydra/launcher=joblib")
    held = lock(runs_in(folder)[1])  # as if it had not ended yet
    ended, _, complaints = sweep(tmp_path, *again)
    os.close(held)
    assert ended == 1
    assert "is running already: wait until it ends, and give the same command again" in complaints
    ended, _, complaints = sweep(tmp_path, *again)
    assert ended == 0, complaints
    assert [
        lost(job, wanted) for job, wanted in zip(runs_in(folder), runs_in(one_by_one), strict=True)
    ] == [0, 0]


def wait_for_the_orphan(job: Path) -> None:
    """A job's process outlives that of the sweep, and is let end."""
    give_up = time.monotonic() + 120
    while status(job) == "running" and time.monotonic() < give_up:
        time.sleep(0.1)
    assert status(job) == "completed"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"],
            "hydra.launcher.n_jobs=0 must be at least 1",
        ),
        (
            ["hydra/launcher=ray", "hydra.launcher.max_retries=-2"],
            "hydra.launcher.max_retries=-2 must be at least 0",
        ),
        (["hydra/launcher=submitit_slurm"], "hydra.launcher: submitit cannot submit to slurm"),
        (
            ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1.5"],
            "hydra.launcher.n_jobs=1.5 must be",
        ),
        (
            ["hydra/launcher=joblib", "+hydra.launcher.jobs=3"],
            "hydra.launcher.jobs is an unexpected keyword argument",
        ),
        (
            ["hydra/launcher=submitit_local", "hydra.launcher.jobs_at_once=-1"],
            "hydra.launcher.jobs_at_once=-1 must be at least 1",
        ),
        (
            ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=abc"],
            "hydra.launcher: submitit cannot submit to local",
        ),
        (
            ["hydra/launcher=ray", "hydra.launcher.num_cpus_per_job=0"],
            "hydra.launcher.num_cpus_per_job=0 must be positive",
        ),
        (["hydra/launcher=ray", "hydra.launcher.num_cpus_per_job=4096"], "A job wants 4096"),
        (["hydra.sweeper.max_batch_size=1"], "hydra.sweeper.max_batch_size=1 is of no use here"),
        (["hydra.job.chdir=true"], "hydra.job.chdir=true holds for single runs only"),
        (["hydra.sweep.subdir=a"], "hydra.sweep.subdir=a would be the folder of two jobs"),
        (["hydra.sweep.subdir=a/${seed}"], "hydra.sweep.subdir=a/0 must be a name without /"),
        (
            ["hydra/launcher=nowhere"],
            "hydra/launcher=nowhere is not there to choose: hydra/launcher is one of",
        ),
    ],
)
def test_what_a_launcher_cannot_have_is_said_in_a_sentence(tmp_path, overrides, message):
    ended, _, complaints = sweep(tmp_path, *SMALL, "seed=0,1", "hydra.sweep.dir=s", *overrides)
    assert ended == 1
    assert complaints.splitlines()[-1].startswith(f"Error: {message}")
    assert "Traceback" not in complaints
    assert not list(tmp_path.glob("s/*/metrics.jsonl"))


def test_a_sweep_that_was_killed_while_its_jobs_were_written_down_says_so(tmp_path, one_by_one):
    (tmp_path / "sweep.json").write_text(json.dumps({"num_jobs": "x"}))
    shutil.copytree(runs_in(one_by_one)[0], tmp_path / "0_")
    result = subprocess.run(
        [sys.executable, "-m", "mbrl", "resume", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert "sweep.json is damaged" in result.stderr


def test_a_variable_that_jobs_are_given_reaches_them(tmp_path):
    variable = "+hydra.job.env_set.XLA_FLAGS='--xla_cpu_enable_fast_math=false'"
    for launcher in ("local", "joblib"):
        folder = tmp_path / launcher
        chosen = (f"hydra.sweep.dir={folder}", f"hydra/launcher={launcher}")
        ended, _, complaints = sweep(tmp_path, *QUICK, "planner=random", variable, *chosen)
        assert ended == 0, complaints
        (job,) = runs_in(folder)
        assert read_provenance(job)["threads"]["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"
    command = [sys.executable, "-m", "mbrl", "resume", str(job), "training.env_steps=80"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "The run was started with XLA_FLAGS='--xla_cpu_enable_fast_math=false'" in result.stderr


def test_another_program_s_sweeps_stay_hydra_s_own(tmp_path):
    program = "import hydra\n@hydra.main(version_base='1.3', config_path=None)\ndef main(config):\n    print(config.x)\nmain()\n"
    (tmp_path / "other.py").write_text(program)
    result = subprocess.run(
        [sys.executable, "other.py", "-m", "+x=1,2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == "2"
