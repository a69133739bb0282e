"""One job after the other, in this process."""

import traceback
from collections.abc import Sequence

from mbrl.config.hydra_errors import as_sentence
from mbrl.errors import ConfigError, CorruptRun, RunError
from mbrl.launchers.job import AbstractBackend, Job, check_not_running
from mbrl.launchers.report import Refusals
from mbrl.terminal import RunConsole

# After this many jobs the compiled programs are dropped: each uses some of the memory maps that
# Linux allows a process.
MAX_JOBS_PER_CACHE = 10


class Local(AbstractBackend):
    """The default. Starts no process, so a debugger sees everything."""

    def run(self, jobs: Sequence[Job]) -> None:
        check_not_running(jobs)
        refusals = Refusals()
        for index, job in enumerate(jobs):
            RunConsole().say(f"Job {index + 1} of {len(jobs)}: {job.folder.name}")
            if index > 0 and (
                job.program != jobs[index - 1].program or index % MAX_JOBS_PER_CACHE == 0
            ):
                import jax  # only now, because the first job selects JAX's platform

                jax.clear_caches()
            try:
                job.run(owns_terminal=True)
            except (ConfigError, RunError, CorruptRun, OSError) as error:
                refusals.show(as_sentence(error, ()))
            except Exception:  # a bug, which the next job may not meet
                RunConsole(stderr=True).say(*traceback.format_exc().splitlines())
