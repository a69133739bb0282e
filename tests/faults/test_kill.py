"""Kill -9 at random moments, and inside every step of writing a checkpoint: the run goes on to the same metrics and weights."""

import itertools
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.runs import ROOT, lost, said_file, settings, start, start_resuming, status_of

pytestmark = pytest.mark.slow

LONGEST_LIFE = (
    5.0  # seconds after its folder was taken that a run is killed; it takes some 3 to its end
)


def killed_after(process: subprocess.Popen, folder: Path, seconds: float) -> bool:
    """Kills the process so long after its run took the folder; whether it still ran."""
    while process.poll() is None and status_of(folder) != "running":
        time.sleep(0.02)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return process.returncode == -signal.SIGKILL


def test_a_run_survives_being_killed_at_any_moment(
    tmp_path, combination, reference, tries, fault_report
):
    wanted, survived, rows_lost, kills, luck = (
        tries(1, 50),
        0,
        0,
        0,
        random.Random("-".join(combination)),
    )
    for number in itertools.count():
        if kills == wanted:
            break
        folder, of_this_run = tmp_path / str(number), 0
        process = start(folder, *settings(*combination))
        # A run that is killed again and again, wherever it is, until it gets to its end or has been killed enough.
        while killed_after(process, folder, luck.uniform(0.0, LONGEST_LIFE)):
            of_this_run += 1
            if kills + of_this_run == wanted:
                break
            process = start_resuming(folder)
        if status_of(folder) != "completed":
            process = start_resuming(folder)
            assert process.wait(120) == 0, said_file(folder).read_text()
        missing = lost(folder, reference(*combination))
        kills, rows_lost, survived = (
            kills + of_this_run,
            rows_lost + missing,
            survived + of_this_run * (missing == 0),
        )
    fault_report(
        f"kill -9 at random moments ({', '.join(combination)} actions)", kills, survived, rows_lost
    )
    assert (survived, rows_lost) == (kills, 0)


# Operation, what the path holds, and the how-manieth of them: each is a moment within writing a checkpoint, a row, a summary.
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


def test_a_run_survives_being_killed_inside_a_write(tmp_path, reference, tries, fault_report):
    moments, survived, rows_lost = tries(MOMENTS_IN_CI, MOMENTS), 0, 0
    for number, moment in enumerate(moments):
        folder, driver = (
            tmp_path / str(number),
            (str(ROOT / "tests" / "faults" / "dying.py"), *map(str, moment)),
        )
        assert (
            start(folder, *settings("mcts", "discrete"), driver=driver).wait(120) == -signal.SIGKILL
        ), moment
        if (folder / "config.yaml").exists():
            assert start_resuming(folder).wait(120) == 0, said_file(folder).read_text()
        else:  # nothing had begun, and nothing is lost by beginning
            assert start(folder, *settings("mcts", "discrete")).wait(120) == 0, said_file(
                folder
            ).read_text()
        missing = lost(folder, reference("mcts", "discrete"))
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault_report(
        "kill -9 inside the write of a checkpoint, row or summary",
        len(moments),
        survived,
        rows_lost,
    )
    assert (survived, rows_lost) == (len(moments), 0)


# While an interrupted run moves its rows and goes on.
MOMENTS_OF_RESUMING = [
    ("write", "metrics.superseded.jsonl", 1),
    ("fsync", "metrics.superseded.jsonl", 1),
    ("write", ".metrics.jsonl.tmp", 1),
    ("replace", "metrics.jsonl", 1),
]


def test_a_resume_survives_being_killed_while_it_moves_rows(
    tmp_path, reference, tries, fault_report
):
    moments, survived, rows_lost = tries(MOMENTS_OF_RESUMING[:1], MOMENTS_OF_RESUMING), 0, 0
    dying = str(ROOT / "tests" / "faults" / "dying.py")
    for number, moment in enumerate(moments):
        folder = tmp_path / str(number)
        # Between a row and the checkpoint that would count it.
        assert (
            start(
                folder, *settings("mcts", "discrete"), driver=(dying, "fsync", "metrics.jsonl", "4")
            ).wait(120)
            == -signal.SIGKILL
        )
        assert (
            start_resuming(folder, driver=(dying, *map(str, moment), "mbrl")).wait(120)
            == -signal.SIGKILL
        ), moment
        assert start_resuming(folder).wait(120) == 0, said_file(folder).read_text()
        missing = lost(folder, reference("mcts", "discrete"))
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault_report("kill -9 while a resume moves superseded rows", len(moments), survived, rows_lost)
    assert (survived, rows_lost) == (len(moments), 0)
