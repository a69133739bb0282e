"""One job after the other, in this process."""

import sys
import traceback
from collections.abc import Sequence

from mbrl.errors import ConfigError, CorruptRun, RunError
from mbrl.launchers.job import Job, check_not_running
from mbrl.launchers.way import AbstractBackend

MOST_JOBS = 10  # until what was compiled is forgotten


class Local(AbstractBackend):
    """The default. No process is started, so that a debugger sees it all."""

    def run(self, jobs: Sequence[Job]) -> None:
        check_not_running(jobs)
        for number, job in enumerate(jobs):
            print(f"Job {number + 1} of {len(jobs)}: {job.folder.name}", flush=True)
            if number > 0 and (job.program != jobs[number - 1].program or number % MOST_JOBS == 0):
                _forget_programs()
            try:
                job.run(owns_terminal=True)
            except (ConfigError, RunError, CorruptRun, OSError) as error:
                print(f"Error: {error}", file=sys.stderr)
            except Exception:  # a defect; the next job may not have it
                traceback.print_exc()


def _forget_programs() -> None:
    """Lets go of what was compiled, each piece of which takes some of the memory maps that a process may have."""
    import jax

    jax.clear_caches()
