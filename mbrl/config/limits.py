"""Bounds on what a config costs: in a few lines, each can refer to two others, without end."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mbrl.errors import ConfigError
from mbrl.time_limit import TimeLimitExceeded, time_limit

MAX_SECONDS = 20.0  # of CPU time; a config takes less than one
MAX_BYTES = 4 * 2**30  # beyond what the process has


@contextmanager
def limited() -> Iterator[None]:
    """In the block, composing or resolving a config that grows without bound raises ConfigError.

    Memory is limited on Linux only.
    """
    statm, limits = Path("/proc/self/statm"), resource.getrlimit(resource.RLIMIT_AS)
    if statm.exists():
        size = int(statm.read_text().split()[0]) * resource.getpagesize() + MAX_BYTES
        bounds = [bound for bound in (size, *limits) if bound != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min(bounds), limits[1]))
    try:
        with time_limit(MAX_SECONDS, signal.ITIMER_VIRTUAL):
            yield
    except (Exception, TimeLimitExceeded) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, MemoryError | TimeLimitExceeded):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise ConfigError(
            "The config refers to itself so often that it would fill the memory. Remove "
            "interpolations and aliases that build on each other."
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
