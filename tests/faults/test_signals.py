"""Signals and locks: a run that is asked to stop checkpoints first, and no two processes use one folder."""

import random
import signal
import time

import pytest

from tests.faults.runs import lost, said_file, settings, start, start_resuming, status_of

pytestmark = pytest.mark.slow

EXIT_STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}
IN_CI = {"discrete": [signal.SIGTERM], "continuous": [signal.SIGINT]}


@pytest.mark.parametrize(
    "combination", [("cem", "discrete"), ("mcts", "continuous")], indirect=True, ids="-".join
)
def test_a_run_that_is_asked_to_stop_checkpoints_and_says_so(
    tmp_path, combination, reference, tries, fault_report
):
    signals, survived, rows_lost, luck = (
        tries(IN_CI[combination[1]], 10 * list(EXIT_STATUS)),
        0,
        0,
        random.Random(0),
    )
    for number, signum in enumerate(signals):
        folder = tmp_path / str(number)
        process = start(folder, *settings(*combination))
        while status_of(folder) != "running":
            time.sleep(0.02)
        time.sleep(luck.uniform(0.0, 1.5))
        process.send_signal(signum)
        assert process.wait(60) == EXIT_STATUS[signum], said_file(folder).read_text()
        assert status_of(folder) in ("interrupted", "completed")
        assert (
            "python -m mbrl resume" in said_file(folder).read_text()
            or status_of(folder) == "completed"
        )
        assert start_resuming(folder).wait(120) == 0, said_file(folder).read_text()
        missing = lost(folder, reference(*combination))
        # What was computed is not computed again: the checkpoint is of the moment.
        assert not (folder / "metrics.superseded.jsonl").exists()
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault_report(
        f"SIGTERM and Ctrl-C ({', '.join(combination)} actions)", len(signals), survived, rows_lost
    )
    assert (survived, rows_lost) == (len(signals), 0)


def test_a_folder_in_use_is_left_alone(tmp_path, reference, fault_report):
    folder = tmp_path / "run"
    process = start(folder, *settings("cem", "discrete"))
    while status_of(folder) != "running":
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)  # it lives, however long the second takes to come
    second = start_resuming(folder)
    assert second.wait(60) == 2
    assert "Another run is using the folder" in said_file(folder).read_text()
    process.kill()
    process.wait()
    both = [start_resuming(folder), start_resuming(folder)]
    assert sorted(each.wait(120) for each in both) == [0, 2]
    missing = lost(folder, reference("cem", "discrete"))
    fault_report("a second process takes up a run that lives: refused", 2, 2, missing)
    assert missing == 0
