"""Stopping a run by Ctrl-C or SIGTERM.

The first signal is a request; the run stops at the next point from which it can be resumed. The
second signal stops it at once.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

from mbrl.terminal import RunConsole

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A run that stopped because of the signal `signum`."""

    def __init__(self, signum: int, message: str):
        super().__init__(signum, message)  # both, so that it can be pickled between processes
        self.signum = signum

    def __str__(self) -> str:
        return str(self.args[1])

    def _render_traceback_(self) -> list[str]:
        """What IPython and Jupyter show instead of a traceback."""
        return [str(self)]


_answering_processes: set[int] = set()


def _forget_parent() -> None:
    """In a forked child, whose signals its parent must not answer."""
    if os.getppid() in _answering_processes:
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


class StopRequest:
    """Whether a signal has asked the run to stop: a context manager and a function to poll.

    The first signal is answered at once on stderr, also during compiled code, where Python runs no
    signal handler. A second signal raises Interrupted, as soon as Python runs again. Python
    delivers signals only to a process's main thread, so in other threads it is always False.
    """

    def __init__(self):
        self.signum: int | None = None
        self._restore = ExitStack()

    def __call__(self) -> bool:
        return self.signum is not None

    def interrupted(self, message: str) -> Interrupted:
        """The exception for a run that stops on request."""
        return Interrupted(self.signum or signal.SIGINT, message)

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._answer_signals()
            for signum in SIGNALS:
                handler = signal.signal(signum, self._on_signal)
                self._restore.callback(signal.signal, signum, handler)
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._restore.close()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise Interrupted(
                signum,
                "Interrupted immediately. The rows so far and the last checkpoint are in the run's "
                "folder.",
            )
        self.signum = signum

    def _answer_signals(self) -> None:
        """Starts the thread that answers. Python writes each signal's number to its socket."""
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        answering = threading.Thread(target=_answer_first, args=(receiver,), daemon=True)
        answering.start()
        fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        _answering_processes.add(os.getpid())
        # In reverse order. `shutdown` ends the thread, also where a child has a copy of the socket.
        self._restore.callback(receiver.close)
        self._restore.callback(sender.close)
        self._restore.callback(answering.join)
        self._restore.callback(sender.shutdown, socket.SHUT_RDWR)
        self._restore.callback(_answering_processes.discard, os.getpid())
        self._restore.callback(signal.set_wakeup_fd, fd)


def _answer_first(receiver: socket.socket) -> None:
    while received := receiver.recv(1):
        if received[0] in SIGNALS:
            # The terminal may be closed.
            with suppress(OSError, ValueError):
                RunConsole(stderr=True, force_jupyter=False).say(
                    "Stopping after this step or phase. The same signal again stops at once."
                )
            break
    while receiver.recv(64):
        pass


@contextmanager
def interrupted_by(signum: int) -> Iterator[None]:
    """Let a signal raise Interrupted in the block, as Ctrl-C raises KeyboardInterrupt.

    Has no effect outside a process's main thread, which alone receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    received: list[int] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        raise Interrupted(signum, "Interrupted.")

    before = signal.signal(signum, interrupt)
    try:
        yield
    except KeyboardInterrupt as interruption:
        # Compiled code replaces the exception by a plain KeyboardInterrupt.
        if received and not isinstance(interruption, Interrupted):
            raise Interrupted(signum, "Interrupted.") from interruption
        raise
    finally:
        signal.signal(signum, before)
