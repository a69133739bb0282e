"""kill -9 at random moments and file operations: resumed runs have the same metrics and weights."""

import itertools
import json
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from mbrl.runs.finder import runs_in
from tests.faults.runs import (
    DYING,
    QUICK,
    lost,
    resume_here,
    run_here,
    settings,
    start,
    start_resuming,
    status_of,
    stderr_file,
    wait_until_running,
)

pytestmark = pytest.mark.slow

MAX_SECONDS = 5.0  # until a run that has taken its folder is killed; a whole run takes about 3
TIMEOUT = 300.0  # seconds for a run on a busy machine
# File operations do not depend on what is learned.
SETTINGS = (*QUICK, "training.env_steps=160", "training.evaluate_every=60")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The uninterrupted run with SETTINGS."""
    return run_here(tmp_path_factory.mktemp("whole"), *SETTINGS)


def finish(process: subprocess.Popen, folder: Path) -> None:
    """Wait for the end of a run that must succeed."""
    assert process.wait(TIMEOUT) == 0, stderr_file(folder).read_text()


def kill_after(process: subprocess.Popen, folder: Path, seconds: float) -> bool:
    """Kill a run this long after it took the folder; return whether it was still running."""
    wait_until_running(process, folder)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return process.returncode == -signal.SIGKILL


def test_a_run_killed_at_any_moment_loses_nothing(
    tmp_path, combination, reference, tries, fault_report
):
    wanted, generator = tries(1, 50), random.Random("-".join(combination))
    kills = survived = rows_lost = 0
    for number in itertools.count():
        if kills == wanted:
            break
        folder, kills_of_run = tmp_path / str(number), 0
        process = start(folder, *settings(*combination))
        # Each run is killed and resumed until it reaches its end.
        while kill_after(process, folder, generator.uniform(0.0, MAX_SECONDS)):
            kills_of_run += 1
            if kills + kills_of_run == wanted:
                break
            process = start_resuming(folder)
        if status_of(folder) != "completed":
            finish(start_resuming(folder), folder)
        missing = lost(folder, reference(*combination))
        kills += kills_of_run
        rows_lost += missing
        survived += kills_of_run * (missing == 0)
    fault = f"kill -9 at random moments ({', '.join(combination)} actions)"
    fault_report(fault, kills, survived, rows_lost)
    assert (survived, rows_lost) == (kills, 0)


# How often a kind of file operation happens; with --faults=whole, all are listed and tried once.
KINDS_IN_CI = {
    "run": {"write checkpoint/.writing": 5},
    "resume": {"rename metrics.jsonl": 1},
    "extend": {"rename summary.json": 1},
}
BEFORE_CHECKPOINT = ("fsync metrics.jsonl", "4")  # of a run: rows follow its last checkpoint
EXTENDED = ("training.env_steps=160",)  # as in SETTINGS


@pytest.mark.parametrize("story", KINDS_IN_CI)
def test_a_run_killed_at_any_kind_of_file_operation_loses_nothing(
    tmp_path, whole, story, tries, fault_report
):
    saved, options = tmp_path / "saved", EXTENDED if story == "extend" else ()
    if story == "resume":
        assert begin("run", saved, *BEFORE_CHECKPOINT).wait(TIMEOUT) == -signal.SIGKILL
    elif story == "extend":
        run_here(saved, *SETTINGS, "training.env_steps=130")

    def begin_anew(name: str, *kind_and_count: str) -> tuple[Path, int]:
        folder = tmp_path / name
        if saved.exists():
            shutil.copytree(saved, folder)
        return folder, begin(story, folder, *kind_and_count).wait(TIMEOUT)

    kinds = tries(KINDS_IN_CI[story], {})
    if not kinds:
        file = tmp_path / "kinds.json"
        assert begin_anew("listed", "list", str(file))[1] == 0
        kinds = json.loads(file.read_text())
    survived, rows_lost = 0, 0
    for number, (kind, count) in enumerate(kinds.items()):
        folder, status = begin_anew(str(number), kind, str((count + 1) // 2))
        assert status == -signal.SIGKILL, (kind, stderr_file(folder).read_text())
        if (folder / "config.yaml").exists():
            resume_here(folder, *options)
        else:  # the run had not started
            run_here(folder, *SETTINGS)
        missing = lost(folder, whole)
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault = f"kill -9 before each kind of file operation, {story}"
    fault_report(fault, len(kinds), survived, rows_lost)
    assert (survived, rows_lost) == (len(kinds), 0)


def begin(story: str, folder: Path, *kind_and_count: str) -> subprocess.Popen:
    """Run, resume or extend in a process that dies at a file operation, or lists them."""
    driver = (DYING, *kind_and_count, str(folder))
    if story == "run":
        return start(folder, *SETTINGS, "logger=wandb", driver=driver)
    options = EXTENDED if story == "extend" else ()
    return start_resuming(folder, *options, driver=(*driver, "mbrl"))


def test_a_sweep_killed_before_any_kind_of_file_operation_loses_nothing(
    tmp_path, tries, fault_report
):
    references = [run_here(tmp_path / f"whole{seed}", *QUICK, f"seed={seed}") for seed in (0, 1)]

    def sweep(name: str, launcher: str, *kind_and_count: str) -> tuple[Path, int]:
        folder = tmp_path / name
        command = (*QUICK, "seed=0,1", f"hydra/launcher={launcher}", f"hydra.sweep.dir={folder}")
        driver = (DYING, *kind_and_count, str(folder)) if kind_and_count else ()
        return folder, start(folder, *command, "-m", driver=driver).wait(TIMEOUT)

    kinds = tries({"rename N_seed=N/provenance.json": 2}, {})
    if not kinds:
        file = tmp_path / "kinds.json"
        # Its jobs are processes of their own, and so not among the operations.
        assert sweep("listed", "joblib", "list", str(file))[1] == 0
        kinds = json.loads(file.read_text())
    survived, rows_lost = 0, 0
    for number, (kind, count) in enumerate(kinds.items()):
        assert sweep(str(number), "joblib", kind, str(count))[1] == -signal.SIGKILL, kind
        folder, status = sweep(str(number), "basic")
        assert status == 0, stderr_file(folder).read_text()
        missing = sum(map(lost, runs_in(folder), references))
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
        assert len(runs_in(folder)) == 2
    fault_report(
        "kill -9 before each kind of file operation, sweep", len(kinds), survived, rows_lost
    )
    assert (survived, rows_lost) == (len(kinds), 0)
