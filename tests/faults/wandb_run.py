"""A program that logs to files and to W&B: `wandb_run.py <folder> <rows> <timeout>`; prints the seconds that W&B took,
and when the program ended, as far as its own code goes.

Half-way through, and before the first row, it prints "ready" and waits for a line of input.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from mbrl.loggers.files import FilesLogger
from mbrl.loggers.wandb import WandbLogger


def main(folder: str, num_rows: int, timeout: float) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s")
    files = FilesLogger(folder)
    options: dict[str, Any] = {
        "mode": "online",
        "init_timeout": timeout,
        "finish_timeout": timeout,
        "run_id": "run",
    }
    wandb, start = timed(lambda: WandbLogger(folder, config={"seed": 0}, name="run", **options))
    log = 0.0
    for row in range(num_rows):
        if row in (0, num_rows // 2):
            print("ready", flush=True)
            sys.stdin.readline()
        values = {"env_steps": row, "wall_seconds": 0.1 * row, "loss/dynamics": 1.0}
        files.log(values)
        log = max(log, timed(lambda: wandb.log(values))[1])  # noqa: B023
    _, finish = timed(lambda: wandb.finish("completed"))
    print(json.dumps({"start": start, "log": log, "finish": finish, "ended": time.time()}))


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    result = call()
    return result, time.monotonic() - began


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
