"""A process that runs cases one after the other, and is killed where one takes too long."""

import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fuzz.cases import case

MAX_SECONDS = 60  # of a case
START_SECONDS = 120  # of a new process until its first case has ended
MAX_CASES = 400  # of a process, since compiled programs and imports add up
MAX_GIB = 8  # of a process's memory
# Programs compile in half the time.
XLA_FLAGS = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"


class Worker:
    """A process that runs one case after the other, and is killed where one takes too long."""

    def __init__(self, seed: int):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, seed), daemon=True)
        self.process.start()
        theirs.close()
        self.number: int | None = None
        self.num_cases = 0
        self.deadline = time.monotonic() + START_SECONDS

    def give(self, number: int, train: bool) -> None:
        if self.num_cases:
            self.deadline = time.monotonic() + MAX_SECONDS
        self.number, self.num_cases = number, self.num_cases + 1
        self.connection.send((number, train))

    def result(self) -> dict[str, Any] | None:
        """The result of the case that has ended, if one has."""
        if self.number is None:
            return None
        number, has_died = self.number, False
        try:
            if self.connection.poll():
                result = self.connection.recv()
                self.number = None
                return result
        except (EOFError, ConnectionResetError):
            has_died = True
        is_late = time.monotonic() > self.deadline
        if not (has_died or is_late):
            return None
        self.stop()
        self.number, self.num_cases = None, MAX_CASES
        status = f"exit status {self.process.exitcode}"
        kind, message = ("killed", status) if has_died else ("hang", f"over {MAX_SECONDS} s")
        return {
            "number": number,
            "case": str(case(number)),
            "outcome": kind,
            "message": message,
            "trained": True,
            "seconds": MAX_SECONDS,
        }

    def is_idle(self) -> bool:
        return self.number is None

    def is_spent(self) -> bool:
        return self.number is None and self.num_cases >= MAX_CASES

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def work(connection: Connection, seed: int) -> None:
    """The cases that come through the connection, in a folder of their own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process stops this one
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_GIB * 2**30, MAX_GIB * 2**30))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "XLA_FLAGS": XLA_FLAGS}
    from tests.fuzz.outcome import outcome_of

    folder = tempfile.mkdtemp(prefix="mbrl-fuzz-")
    os.chdir(folder)
    try:
        while True:
            number, train = connection.recv()
            this, start = case(number, seed), time.monotonic()
            outcome = outcome_of(this, train and this.may_train)
            seconds = round(time.monotonic() - start, 2)
            os.chdir(folder)
            shutil.rmtree(Path(folder, "outputs"), ignore_errors=True)
            connection.send(
                {
                    "number": number,
                    "case": str(this),
                    "outcome": outcome.kind,
                    "message": outcome.message,
                    "trained": outcome.trained,
                    "seconds": seconds,
                }
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


