"""Bounds on what a config costs: in a few lines, each can refer to two others, without end."""

import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mbrl.errors import ConfigError

MAX_SECONDS = 20.0  # of the thread's CPU time; a config takes less than one
MAX_BYTES = 4 * 2**30  # beyond what the process has
TICK = 0.1  # seconds of the process's CPU time from one look at the thread's to the next
# Nothing else is interrupted: neither this module, whose bounds could remain, nor callbacks.
INTERRUPTED = ("hydra", "omegaconf", "yaml", "antlr4", "copy")

# The bounds are the process's, so one thread at a time sets them. A block in a block has no effect.
_lock = threading.RLock()
_is_limited = False


class _TimeIsUp(BaseException):
    """Not an Exception, which OmegaConf would wrap."""


@contextmanager
def limited() -> Iterator[None]:
    """In the block, composing or resolving a config that grows without bound raises ConfigError.

    Time is limited in the main thread only, memory on Linux only. Threads wait for each other.
    """
    global _is_limited
    with _lock:
        if _is_limited:
            yield
            return
        _is_limited, limits = True, resource.getrlimit(resource.RLIMIT_AS)
        is_main = threading.current_thread() is threading.main_thread()
        end, handler = time.thread_time() + MAX_SECONDS, signal.getsignal(signal.SIGVTALRM)

        def tick(number: int, frame: FrameType | None) -> None:
            package = str(frame.f_globals.get("__name__")).split(".")[0] if frame else ""
            if package in INTERRUPTED and time.thread_time() > end:
                raise _TimeIsUp

        try:
            statm = Path("/proc/self/statm")
            if statm.exists():
                size = int(statm.read_text().split()[0]) * resource.getpagesize() + MAX_BYTES
                bounds = [bound for bound in (size, *limits) if bound != resource.RLIM_INFINITY]
                resource.setrlimit(resource.RLIMIT_AS, (min(bounds), limits[1]))
            if is_main:
                signal.signal(signal.SIGVTALRM, tick)
                signal.setitimer(signal.ITIMER_VIRTUAL, TICK, TICK)
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
            _is_limited = False
