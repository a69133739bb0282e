"""A run whose W&B server fails: it goes on, is held up for seconds, loses no row, and says so once."""

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

ROWS = 20
HALF = ROWS // 2
TIMEOUT = 1.0  # seconds that the logger is told to wait for the server
SLACK = 8.0  # seconds by which a busy machine may exceed that
PROGRAM = Path(__file__).with_name("wandb_run.py")


@contextmanager
def started(folder: Path, server: WandbServer) -> Iterator[subprocess.Popen]:
    """The program in a process of its own, which ends with the block."""
    wandb = {
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_CONFIG_DIR": str(folder / "settings"),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment = (
        kept | wandb | {"NETRC": str(folder / "netrc"), "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, PROGRAM, folder, str(ROWS), str(TIMEOUT)],
        env=environment,
        text=True,
        **pipes,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def go_on(process: subprocess.Popen) -> None:
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    process.stdin.write("\n")
    process.stdin.flush()


def steps_in(folder: Path) -> list[int]:
    return [
        json.loads(line)["env_steps"]
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def fail(server: WandbServer, how: str) -> None:
    if how == "refuses":
        server.refuse()
    else:
        server.mode = how


@pytest.mark.parametrize("how", ["refuses", "hangs", "errors"])
@pytest.mark.parametrize("when", ["from the start", "mid-run"])
def test_a_server_that_fails(tmp_path, fault_report, how, when):
    with WandbServer() as server:
        if when == "from the start":
            fail(server, how)
        with started(tmp_path, server) as process:
            go_on(process)
            assert process.stdout.readline() == "ready\n"
            if when == "mid-run":
                fail(server, how)
            output, errors = process.communicate("\n", timeout=4 * (TIMEOUT + SLACK))
            gone = time.time()
    steps = steps_in(tmp_path)
    fault_report(
        f"W&B server {how} {when}",
        tries=1,
        survived=int(process.returncode == 0),
        lost=ROWS - len(steps),
    )
    assert process.returncode == 0, errors
    assert steps == list(range(ROWS))
    seconds = json.loads(output)
    assert gone - seconds.pop("ended") < SLACK  # W&B has its own things to do when a process exits
    assert max(seconds.values()) < TIMEOUT + SLACK
    [warning] = errors.splitlines()
    sentences = {
        "from the start": "WARNING W&B could not start a run in mode online (",
        "mid-run": "WARNING W&B did not get all rows in time; ",
    }
    assert warning.startswith(sentences[when])


def test_a_run_that_is_killed_while_its_server_hangs(tmp_path, fault_report):
    with WandbServer() as server, started(tmp_path, server) as process:
        go_on(process)
        assert process.stdout.readline() == "ready\n"
        fail(server, "hangs")
        process.kill()
        process.communicate(
            timeout=SLACK
        )  # returns once W&B's own process, which holds the pipes too, is gone
    lost = HALF - len(steps_in(tmp_path))
    fault_report("kill -9 while the W&B server hangs", tries=1, survived=int(lost == 0), lost=lost)
    assert steps_in(tmp_path) == list(range(HALF))


def test_a_server_that_works_gets_every_row_once_over_a_resume(tmp_path):
    with WandbServer() as server:
        for _ in range(
            2
        ):  # the second process has the same run_id, and logs the same rows: it resumes from the beginning
            with started(tmp_path, server) as process:
                go_on(process)
                go_on(process)
                _, errors = process.communicate(timeout=2 * SLACK)
                assert (process.returncode, errors) == (0, "")
        assert [row["env_steps"] for _, row in sorted(server.rows["run"].items())] == list(
            range(ROWS)
        )
