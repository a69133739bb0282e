"""Several jobs at a time on this machine, a process each (`hydra/launcher=joblib`)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mbrl.errors import ConfigError
from mbrl.launchers.job import AbstractBackend, Job, check_not_running, max_parallel_jobs
from mbrl.launchers.processes import ProcessGroup
from mbrl.launchers.report import Refusals, recorded_refusal
from mbrl.terminal import RunConsole


class ProcessPool(AbstractBackend):
    """Runs `n_jobs` processes at a time; null: as many as the cores can serve (`num_threads` each).

    Each job gets a new process. A reused worker would keep state from the job before, and a pool of
    workers breaks as a whole when one of them runs out of memory.
    """

    def __init__(self, n_jobs: int | None = None):
        if n_jobs is not None and n_jobs < 1:
            raise ConfigError(
                f"hydra.launcher.n_jobs={n_jobs}: must be at least 1, or null for one per core."
            )
        self._n_jobs = n_jobs

    def run(self, jobs: Sequence[Job]) -> None:
        check_not_running(jobs)
        n_jobs = self._n_jobs or max_parallel_jobs(jobs)
        RunConsole().say(f"{len(jobs)} jobs, {min(n_jobs, len(jobs))} at a time")
        refusals = Refusals()

        def run(job: Job) -> None:
            if processes.run([*job.command(), "--job"], job.environment):
                refusals.show(recorded_refusal(job.folder))

        # Threads suffice, because each only waits for its process.
        with ProcessGroup() as processes, ThreadPoolExecutor(n_jobs) as threads:
            list(threads.map(run, jobs))
        processes.check("Interrupted.")
