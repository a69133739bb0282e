"""One job after the other, in this process."""

import sys
import traceback
from collections.abc import Sequence

from mbrl.config import ConfigError, RunError
from mbrl.launchers.job import Job, refuse_live
from mbrl.launchers.way import AbstractWay
from mbrl.runs.reader import DamagedRun

MOST_JOBS = 10  # until what was compiled is forgotten


class Local(AbstractWay):
    """The default. No process is started, so that a debugger sees it all."""

    def carry_out(self, jobs: Sequence[Job]) -> None:
        refuse_live(jobs)
        for number, job in enumerate(jobs):
            print(f"Job {number + 1} of {len(jobs)}: {job.folder.name}", flush=True)
            if number > 0 and (job.program != jobs[number - 1].program or number % MOST_JOBS == 0):
                _forget_programs()
            try:
                job.carry_out(alone=True)
            except (ConfigError, RunError, DamagedRun, OSError) as error:
                print(f"Error: {error}", file=sys.stderr)
            except Exception:  # a defect; the next job may not have it
                traceback.print_exc()


def _forget_programs() -> None:
    """Lets go of what was compiled, each piece of which takes some of the memory maps that a process may have."""
    import jax

    jax.clear_caches()
