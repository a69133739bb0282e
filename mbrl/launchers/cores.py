"""How many jobs a machine has cores for."""

import os
from collections.abc import Sequence

from mbrl.launchers.job import Job


def usable_cores() -> int:
    """Those that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )  # macOS has no affinity


def max_parallel_jobs(jobs: Sequence[Job]) -> int:
    """How many jobs together have no more threads than there are cores: a job's threads are its own, as its last digits depend on them."""
    return max(1, usable_cores() // max((job.num_threads for job in jobs), default=1))
