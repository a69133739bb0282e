"""A limit on the time that a block takes."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

ALARM_INTERVAL = 1.0  # seconds between alarms after the first
ALARMS = {signal.ITIMER_REAL: signal.SIGALRM, signal.ITIMER_VIRTUAL: signal.SIGVTALRM}


class TimeLimitExceeded(BaseException):
    """Not an Exception, so that what catches all Exceptions does not catch it."""


@contextmanager
def time_limit(seconds: float | None, timer: int = signal.ITIMER_REAL) -> Iterator[None]:
    """Raises TimeLimitExceeded if the block takes longer than the limit; None means no limit.

    `timer` can be ITIMER_VIRTUAL, for seconds of processor time. The main thread is interrupted.
    Other threads receive no signals, so they raise after the block.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        clock = time.monotonic if timer == signal.ITIMER_REAL else time.thread_time
        deadline = clock() + seconds
        yield
        if clock() > deadline:
            raise TimeLimitExceeded
        return
    previous = signal.signal(ALARMS[timer], _raise_time_limit_exceeded)
    try:
        try:
            # The alarm repeats, in case the block swallows the first exception.
            signal.setitimer(timer, seconds, ALARM_INTERVAL)
            yield
        finally:  # which an alarm may interrupt
            signal.setitimer(timer, 0.0)
    finally:
        signal.setitimer(timer, 0.0)
        signal.signal(ALARMS[timer], previous)


def _raise_time_limit_exceeded(signum, frame):
    raise TimeLimitExceeded
