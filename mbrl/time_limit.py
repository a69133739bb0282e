"""A limit on the seconds that a block takes."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

ALARM_INTERVAL = 1.0  # seconds between alarms after the first


class TimeLimitExceeded(BaseException):
    """Not an Exception, so that what catches all Exceptions does not catch it."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises TimeLimitExceeded if the block takes longer than the limit; None means no limit.

    The main thread is interrupted. Other threads receive no signals, so they raise after the block.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        deadline = monotonic() + seconds
        yield
        if monotonic() > deadline:
            raise TimeLimitExceeded
        return
    previous = signal.signal(signal.SIGALRM, _raise_time_limit_exceeded)
    try:
        try:
            # The alarm repeats, in case the block swallows the first exception.
            signal.setitimer(signal.ITIMER_REAL, seconds, ALARM_INTERVAL)
            yield
        finally:  # which an alarm may interrupt
            signal.setitimer(signal.ITIMER_REAL, 0.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)


def _raise_time_limit_exceeded(signum, frame):
    raise TimeLimitExceeded
