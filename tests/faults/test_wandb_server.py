"""A run whose W&B server fails continues, loses no row, is delayed by seconds and warns once."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.wandb_server import WandbServer

pytestmark = pytest.mark.slow

NUM_ROWS = 20
TIMEOUT = 1.0  # seconds that the logger waits for the server
SLACK = 8.0  # seconds that a busy machine may take in addition
PROGRAM = Path(__file__).with_name("wandb_run.py")


@contextmanager
def started(folder: Path, server: WandbServer, *options: str) -> Iterator[subprocess.Popen]:
    """The program in its own process, which is killed at the end of the block."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("WANDB_")}
    environment = inherited | {
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_CONFIG_DIR": str(folder / "settings"),
        "NETRC": str(folder / "netrc"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, PROGRAM, folder, str(NUM_ROWS), str(TIMEOUT), *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def continue_(process: subprocess.Popen) -> None:
    """Wait until the program is ready, and let it continue."""
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    process.stdin.write("\n")
    process.stdin.flush()


def steps_in(folder: Path) -> list[int]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["env_steps"] for line in lines]


def fail(server: WandbServer, how: str) -> None:
    if how == "refuses":
        server.refuse()
    else:
        server.mode = how


@pytest.mark.parametrize("how", ["refuses", "hangs", "errors"])
@pytest.mark.parametrize("when", ["from the start", "mid-run"])
def test_a_failing_server_delays_the_run_by_seconds(tmp_path, fault_report, how, when):
    with WandbServer() as server:
        if when == "from the start":
            fail(server, how)
        with started(tmp_path, server) as process:
            continue_(process)
            assert process.stdout.readline() == "ready\n"
            if when == "mid-run":
                fail(server, how)
            output, errors = process.communicate("\n", timeout=4 * (TIMEOUT + SLACK))
            exited = time.time()
    steps, survived = steps_in(tmp_path), int(process.returncode == 0)
    fault_report(f"W&B server {how} {when}", 1, survived, NUM_ROWS - len(steps))
    assert process.returncode == 0, errors
    assert steps == list(range(NUM_ROWS))
    seconds = json.loads(output)
    assert exited - seconds.pop("ended") < SLACK  # W&B itself does some work at exit
    assert max(seconds.values()) < TIMEOUT + SLACK
    [warning] = errors.splitlines()
    messages = {
        "from the start": "WARNING W&B could not start a run in mode online (",
        "mid-run": "WARNING W&B did not receive all rows in time. ",
    }
    assert warning.startswith(messages[when])
    offline = list((tmp_path / "wandb").glob("offline-run-*/run-run.wandb"))
    assert len(offline) == (when == "from the start")


def test_a_run_killed_while_its_server_hangs_keeps_its_rows(tmp_path, fault_report):
    with WandbServer() as server, started(tmp_path, server) as process:
        continue_(process)
        assert process.stdout.readline() == "ready\n"
        fail(server, "hangs")
        process.kill()
        # Returns when W&B's own process, which holds the pipes too, has ended.
        process.communicate(timeout=SLACK)
    rows_before = NUM_ROWS // 2
    lost = rows_before - len(steps_in(tmp_path))
    fault_report("kill -9 while the W&B server hangs", 1, int(lost == 0), lost)
    assert steps_in(tmp_path) == list(range(rows_before))


def test_a_working_server_gets_every_row_once_although_the_run_was_resumed(tmp_path):
    with WandbServer() as server:
        # The second process has the same run id and logs the same rows again.
        for _ in range(2):
            with started(tmp_path, server) as process:
                continue_(process)
                continue_(process)
                _, errors = process.communicate(timeout=2 * SLACK)
                assert (process.returncode, errors) == (0, "")
        rows = [row for _, row in sorted(server.rows["run"].items())]
        assert [row["env_steps"] for row in rows] == list(range(NUM_ROWS))


def test_a_working_server_gets_the_checkpoint(tmp_path):
    with WandbServer() as server, started(tmp_path, server, "upload") as process:
        continue_(process)
        continue_(process)
        _, errors = process.communicate(timeout=2 * SLACK)
        assert (process.returncode, errors) == (0, "")
    [artifact] = server.artifacts
    collection = "artifactTypeName", "artifactCollectionName", "runName"
    assert [artifact[name] for name in collection] == ["model", "checkpoint-run", "run"]
    assert len(server.rows["run"]) == NUM_ROWS


@pytest.mark.parametrize("how", ["refuses", "hangs", "errors"])
def test_a_server_that_fails_before_the_checkpoint_delays_the_run_by_seconds(tmp_path, how):
    with WandbServer() as server, started(tmp_path, server, "upload") as process:
        continue_(process)
        assert process.stdout.readline() == "ready\n"
        fail(server, how)
        output, errors = process.communicate("\n", timeout=4 * (TIMEOUT + SLACK))
    assert process.returncode == 0, errors
    assert steps_in(tmp_path) == list(range(NUM_ROWS))
    assert json.loads(output)["finish"] < TIMEOUT + SLACK
    assert "WARNING W&B did not record the checkpoint" in errors
    assert "Traceback" not in errors
