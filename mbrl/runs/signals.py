"""Stopping a run from outside: Ctrl-C and SIGTERM ask; a run answers at the next place where it can be taken up again."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop, and did; `signum` is the signal that asked."""

    def __init__(self, signum: int, sentence: str):
        super().__init__(signum, sentence)  # both, so that it can be handed from process to process
        self.signum = signum

    def __str__(self) -> str:
        return str(self.args[1])


class StopRequest:
    """Whether a signal has asked to stop: a context manager around the run, and a function to poll.

    A second signal does not ask: it raises Interrupted on the spot. Outside a process's main thread, which alone gets
    signals, nothing asks.
    """

    def __init__(self):
        self.signum: int | None = None
        self._before: dict[int, object] = {}

    def __call__(self) -> bool:
        return self.signum is not None

    def interrupted(self, sentence: str) -> Interrupted:
        """What ends a run that was asked to stop."""
        return Interrupted(self.signum or signal.SIGINT, sentence)

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {signum: signal.signal(signum, self._asked) for signum in SIGNALS}
        return self

    def __exit__(self, kind, error, traceback) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    def _asked(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise Interrupted(
                signum,
                "Interrupted at once; what was recorded and the last checkpoint are in the run's folder.",
            )
        self.signum = signum
        with suppress(
            OSError
        ):  # the terminal may be gone; and a signal may come in the middle of another print
            os.write(
                2, b"\nStopping at the next checkpoint; the same signal again stops at once.\n"
            )


@contextmanager
def interrupted_by(signum: int) -> Iterator[None]:
    """Lets a signal raise Interrupted in the block, as Ctrl-C raises KeyboardInterrupt; outside a process's main thread, which alone gets
    signals, nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    told: list[int] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        told.append(signum)
        raise Interrupted(signum, "Interrupted.")

    before = signal.signal(signum, interrupt)
    try:
        yield
    except KeyboardInterrupt as interruption:
        if told and not isinstance(
            interruption, Interrupted
        ):  # compiled code passes it on as a plain one
            raise Interrupted(signum, "Interrupted.") from interruption
        raise
    finally:
        signal.signal(signum, before)
