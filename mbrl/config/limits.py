"""Bounds on what a config costs: in a few lines, each can refer to two others, without end."""

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mbrl.errors import ConfigError

MAX_SECONDS = 20.0  # of CPU time; a config takes less than one
MAX_BYTES = 4 * 2**30  # beyond what the process has


class _TimeIsUp(BaseException):
    """Not an Exception, which OmegaConf would wrap."""


@contextmanager
def limited() -> Iterator[None]:
    """In the block, composing or resolving a config that grows without bound raises ConfigError.

    Time is limited in the main thread only, memory on Linux only.
    """

    def stop(*_: object) -> None:
        raise _TimeIsUp

    statm, limits = Path("/proc/self/statm"), resource.getrlimit(resource.RLIMIT_AS)
    if statm.exists():
        size = int(statm.read_text().split()[0]) * resource.getpagesize() + MAX_BYTES
        bounds = [bound for bound in (size, *limits) if bound != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min(bounds), limits[1]))
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        handler = signal.signal(signal.SIGVTALRM, stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
    try:
        yield
    except (Exception, _TimeIsUp) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, MemoryError | _TimeIsUp):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise ConfigError(
            "The config refers to itself so often that it would fill the memory. Remove "
            "interpolations and aliases that build on each other."
        ) from error
    finally:
        if is_main:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)
