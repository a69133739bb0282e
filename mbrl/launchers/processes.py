"""ProcessGroup that compute for this one, and are told what it is told: a signal reaches each of them once."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from types import FrameType

from mbrl.runs.signals import SIGNALS, Interrupted


class ProcessGroup:
    """Runs commands, from any thread, while this context manager is entered in the main one.

    Ctrl-C and SIGTERM are passed on, so that runs write a checkpoint and end; after that no further command is started.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.RLock()  # a handler may interrupt its holder
        self._before: dict[int, object] = {}

    def __enter__(self) -> "ProcessGroup":
        self._before = {signum: signal.signal(signum, self._pass_on) for signum in SIGNALS}
        return self

    def __exit__(self, kind, error, traceback) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    def run(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> int | None:
        """Waits for the command; returns its exit status (128 + the signal that ended it, as shells say it).

        None where it was not started, since a signal has come.
        """
        process = self._start(command, environment or {})
        if process is None:
            return None
        try:
            status = process.wait()
        finally:
            with self._lock:
                self._running.discard(process)
        return status if status >= 0 else 128 - status

    def check(self, sentence: str) -> None:
        """Raises Interrupted, saying `sentence`, where a signal has come."""
        if self.signum is not None:
            raise Interrupted(self.signum, sentence)

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen | None:
        with self._lock:
            if self._was_told():
                return None
            # A session of its own: else a terminal's Ctrl-C would reach it a second time.
            process = subprocess.Popen(
                command, env=os.environ | environment, start_new_session=True
            )
            self._running.add(process)
            if self._was_told():  # while the process was started
                process.send_signal(self.signum or signal.SIGINT)
            return process

    def _was_told(self) -> bool:
        return self.signum is not None

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        for process in tuple(self._running):
            process.send_signal(signum)
