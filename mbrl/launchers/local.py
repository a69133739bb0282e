"""One job after the other, in this process."""

import sys
import traceback
from collections.abc import Sequence

from mbrl.config.hydra_errors import as_sentence
from mbrl.errors import ConfigError, CorruptRun, RunError
from mbrl.launchers.job import AbstractBackend, Job, check_not_running

# After this many jobs the compiled programs are dropped: each uses some of the memory maps that
# Linux allows a process.
MAX_JOBS_PER_CACHE = 10


class Local(AbstractBackend):
    """The default. Starts no process, so a debugger sees everything."""

    def run(self, jobs: Sequence[Job]) -> None:
        check_not_running(jobs)
        for index, job in enumerate(jobs):
            print(f"Job {index + 1} of {len(jobs)}: {job.folder.name}", flush=True)
            if index > 0 and (
                job.program != jobs[index - 1].program or index % MAX_JOBS_PER_CACHE == 0
            ):
                import jax  # only now, because the first job selects JAX's platform

                jax.clear_caches()
            try:
                job.run(owns_terminal=True)
            except (ConfigError, RunError, CorruptRun, OSError) as error:
                print(f"Error: {as_sentence(error, ())}", file=sys.stderr)
            except Exception:  # a bug, which the next job may not meet
                traceback.print_exc()
