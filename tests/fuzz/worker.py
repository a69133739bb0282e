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

MAX_CPU_SECONDS = 60  # of a case
MAX_WALL_SECONDS = 600  # of a case that computes nothing, or on a busy machine
MAX_CASES = 1000  # of a process, since compiled programs and imports add up
MAX_GIB = 8  # of a process's memory
# Programs compile in half the time.
XLA_FLAGS = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
HANG, KILLED = "hang", "killed"


class Worker:
    """Runs the cases of a seed in a process of its own."""

    def __init__(self, seed: int):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, seed), daemon=True)
        self._process.start()
        theirs.close()
        self._number: int | None = None
        self._text, self._num_cases, self._deadline = "", 0, 0.0

    def give(self, number: int, train: bool) -> None:
        """Starts a case; `train` says whether it may reach training."""
        self._number, self._text = number, ""
        self._num_cases += 1
        self._deadline = time.monotonic() + MAX_WALL_SECONDS
        self.connection.send((number, train))

    def result(self) -> dict[str, Any] | None:
        """The result of the case that has ended, if one has."""
        try:
            while self._number is not None and self.connection.poll():
                received = self.connection.recv()
                if isinstance(received, dict):
                    self._number = None
                    return received
                self._text = received
        except (EOFError, ConnectionResetError):
            self._process.join()
            is_slow = self._process.exitcode == -signal.SIGXCPU
            if is_slow:
                return self._lost(HANG, f"over {MAX_CPU_SECONDS} s of computing")
            return self._lost(KILLED, f"exit status {self._process.exitcode}")
        if self._number is not None and time.monotonic() > self._deadline:
            return self._lost(HANG, f"over {MAX_WALL_SECONDS} s")
        return None

    def _lost(self, kind: str, reason: str) -> dict[str, Any]:
        result = _result(self._number, self._text, kind, reason, True, MAX_CPU_SECONDS)
        self._number, self._num_cases = None, MAX_CASES
        return result

    def is_idle(self) -> bool:
        return self._number is None

    def is_spent(self) -> bool:
        """Whether another process is to run the next case."""
        return self.is_idle() and self._num_cases >= MAX_CASES

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def work(connection: Connection, seed: int) -> None:
    """Runs the cases that come through the connection, in a folder of their own."""
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
            this, start = case(number, seed), time.process_time()
            connection.send(str(this))
            limit = int(start) + MAX_CPU_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
            outcome = outcome_of(this, train and this.may_train)
            os.chdir(folder)
            shutil.rmtree(Path(folder, "outputs"), ignore_errors=True)
            seconds = round(time.process_time() - start, 2)
            connection.send(_result(number, str(this), *outcome, seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(
    number: int | None, text: str, outcome: str, message: str, trained: bool, seconds: float
) -> dict[str, Any]:
    return {
        "number": number,
        "case": text,
        "outcome": outcome,
        "message": message,
        "trained": trained,
        "seconds": seconds,
    }
