"""Logs rows to files and to W&B: `wandb_run.py <folder> <rows> <timeout> [upload]`.

Prints the seconds that W&B took, and the time at which the program's own code ended. Before the
first row and before the middle one, it prints "ready" and waits for a line of input. With `upload`,
it has a checkpoint and uploads it.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mbrl.loggers.files import FilesLogger
from mbrl.loggers.wandb import WandbLogger
from mbrl.run_info import RunInfo


def main(folder: str, num_rows: int, timeout: float, upload: bool) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s")
    info = RunInfo(Path(folder), "run", run_id="run", config={"seed": 0})
    files = FilesLogger(info)
    if upload:
        checkpoint = Path(folder, "checkpoint", f"{num_rows:012}-{'0' * 16}.npz")
        checkpoint.parent.mkdir()
        checkpoint.write_text("weights")
    settings = {"init_timeout": timeout, "finish_timeout": timeout, "upload_checkpoint": upload}
    wandb, start = timed(lambda: WandbLogger(info, mode="online", **settings))
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
    """The result of a call and the seconds that it took."""
    started = time.monotonic()
    result = call()
    return result, time.monotonic() - started


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), upload=sys.argv[4:] == ["upload"])
