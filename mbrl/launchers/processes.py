"""Child processes that receive each signal sent to this process exactly once."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from types import FrameType

from mbrl.runs.signals import SIGNALS, Interrupted


class ProcessGroup:
    """Context manager, entered in the main thread, in which any thread can run commands.

    Ctrl-C and SIGTERM are forwarded to the processes, so that runs save a checkpoint and end. After
    a signal no further command is started.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.RLock()  # reentrant: a signal handler may interrupt its holder
        self._previous_handlers: dict[int, object] = {}

    def __enter__(self) -> "ProcessGroup":
        self._previous_handlers = {s: signal.signal(s, self._forward) for s in SIGNALS}
        return self

    def __exit__(self, kind, error, traceback) -> None:
        for signum, handler in self._previous_handlers.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    def run(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> int | None:
        """Run a command and return its exit status; 128 + the signal's number if one ended it.

        Returns None if the command was not started because a signal had arrived.
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

    def check(self, message: str) -> None:
        """Raises Interrupted with this message if a signal has arrived."""
        if self.signum is not None:
            raise Interrupted(self.signum, message)

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen | None:
        with self._lock:
            if self._interrupted():
                return None
            # In a new session: otherwise a terminal's Ctrl-C would reach the process a second time.
            process = subprocess.Popen(
                command, env=os.environ | environment, start_new_session=True
            )
            self._running.add(process)
            if self._interrupted():  # by a signal that arrived while the process was starting
                process.send_signal(self.signum or signal.SIGINT)
            return process

    def _interrupted(self) -> bool:
        return self.signum is not None

    def _forward(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        for process in tuple(self._running):
            process.send_signal(signum)
