"""kill -9 at random moments and inside writes: the resumed run has the same metrics and weights."""

import itertools
import random
import signal
import subprocess
from pathlib import Path

import pytest

from tests.faults.runs import (
    DYING,
    QUICK,
    lost,
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
# The moments inside writes do not depend on what is learned.
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


# Operation, part of the path, and count: moments while a checkpoint, row or summary is written.
MOMENTS = [
    ("write", "checkpoint/.writing", 3),
    ("fsync", "checkpoint/.writing", 3),
    ("replace", "/checkpoint/", 3),
    ("unlink", "/checkpoint/", 1),
    ("fsync", "metrics.jsonl", 3),
    ("write", "metrics.jsonl", 4),
    ("write", ".summary.json.tmp", 2),
    ("replace", "summary.json", 2),
    ("write", ".config.yaml.tmp", 1),
    ("write", ".provenance.json.tmp", 1),
]
MOMENTS_IN_CI = [MOMENTS[0], MOMENTS[5]]


def test_a_run_killed_inside_a_write_loses_nothing(tmp_path, whole, tries, fault_report):
    moments, survived, rows_lost = tries(MOMENTS_IN_CI, MOMENTS), 0, 0
    for number, moment in enumerate(moments):
        folder, driver = tmp_path / str(number), (DYING, *map(str, moment))
        assert start(folder, *SETTINGS, driver=driver).wait(TIMEOUT) == -signal.SIGKILL, moment
        if (folder / "config.yaml").exists():
            finish(start_resuming(folder), folder)
        else:  # the run had not started
            finish(start(folder, *SETTINGS), folder)
        missing = lost(folder, whole)
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault = "kill -9 inside the write of a checkpoint, row or summary"
    fault_report(fault, len(moments), survived, rows_lost)
    assert (survived, rows_lost) == (len(moments), 0)


# Moments while a resumed run moves rows to metrics.superseded.jsonl.
MOMENTS_OF_RESUMING = [
    ("write", "metrics.superseded.jsonl", 1),
    ("fsync", "metrics.superseded.jsonl", 1),
    ("write", ".metrics.jsonl.tmp", 1),
    ("replace", "metrics.jsonl", 1),
]


def test_a_resumed_run_killed_while_it_moves_rows_loses_nothing(
    tmp_path, whole, tries, fault_report
):
    moments, survived, rows_lost = tries(MOMENTS_OF_RESUMING[:1], MOMENTS_OF_RESUMING), 0, 0
    # Killed between a row and the checkpoint that would count it.
    before_checkpoint = (DYING, "fsync", "metrics.jsonl", "4")
    for number, moment in enumerate(moments):
        folder = tmp_path / str(number)
        process = start(folder, *SETTINGS, driver=before_checkpoint)
        assert process.wait(TIMEOUT) == -signal.SIGKILL
        process = start_resuming(folder, driver=(DYING, *map(str, moment), "mbrl"))
        assert process.wait(TIMEOUT) == -signal.SIGKILL, moment
        finish(start_resuming(folder), folder)
        missing = lost(folder, whole)
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault_report("kill -9 while a resume moves superseded rows", len(moments), survived, rows_lost)
    assert (survived, rows_lost) == (len(moments), 0)
