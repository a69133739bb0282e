"""Signals and locks: an interrupted run writes a checkpoint; two processes never share a folder."""

import random
import signal
import time

import pytest

from tests.faults.runs import (
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

TIMEOUT = 300.0  # seconds for a run on a busy machine
EXIT_STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}
IN_CI = {"discrete": [signal.SIGTERM], "continuous": [signal.SIGINT]}


def test_an_interrupted_run_writes_a_checkpoint_and_tells_how_to_resume(
    tmp_path, combination, reference, tries, fault_report
):
    signals = tries(IN_CI[combination[1]], 10 * list(EXIT_STATUS))
    survived, rows_lost, generator = 0, 0, random.Random(0)
    for number, signum in enumerate(signals):
        folder = tmp_path / str(number)
        process = start(folder, *settings(*combination))
        wait_until_running(process, folder)
        time.sleep(generator.uniform(0.0, 1.5))
        process.send_signal(signum)
        assert process.wait(TIMEOUT) == EXIT_STATUS[signum], stderr_file(folder).read_text()
        assert status_of(folder) in ("interrupted", "completed")
        if status_of(folder) == "interrupted":
            assert "python -m mbrl resume" in stderr_file(folder).read_text()
        assert start_resuming(folder).wait(TIMEOUT) == 0, stderr_file(folder).read_text()
        missing = lost(folder, reference(*combination))
        # The checkpoint is of the moment of the interruption, so nothing is computed twice.
        assert not (folder / "metrics.superseded.jsonl").exists()
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault = f"SIGTERM and Ctrl-C ({', '.join(combination)} actions)"
    fault_report(fault, len(signals), survived, rows_lost)
    assert (survived, rows_lost) == (len(signals), 0)


def test_a_run_in_use_is_not_resumed_by_a_second_process(tmp_path, fault_report):
    missing, whole = 0, run_here(tmp_path / "whole", *QUICK)
    for signum in (signal.SIGCONT, signal.SIGKILL):
        folder = tmp_path / signum.name
        process = start(folder, *QUICK)
        wait_until_running(process, folder)
        process.send_signal(signal.SIGSTOP)  # it stays active until the second process has started
        assert start_resuming(folder).wait(TIMEOUT) == 2
        assert "Another run is using the folder" in stderr_file(folder).read_text()
        process.send_signal(signum)
        if signum == signal.SIGCONT:
            assert process.wait(TIMEOUT) == 0, stderr_file(folder).read_text()
        else:
            process.wait()
            both = [start_resuming(folder), start_resuming(folder)]
            assert sorted(resuming.wait(TIMEOUT) for resuming in both) == [0, 2]
        missing += lost(folder, whole)
    fault_report("a second process resumes a running run: refused", 3, 3, missing)
    assert missing == 0
