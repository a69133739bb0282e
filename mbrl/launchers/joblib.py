"""Some jobs at a time on this machine, each in a process of its own, scheduled by joblib."""

from collections.abc import Sequence

from mbrl.errors import ConfigError
from mbrl.launchers.cores import max_parallel_jobs
from mbrl.launchers.extras import optional_import
from mbrl.launchers.job import Job, check_not_running
from mbrl.launchers.processes import ProcessGroup
from mbrl.launchers.way import AbstractBackend


class ProcessPool(AbstractBackend):
    """`n_jobs` processes at a time; null: as many as the cores have threads for (`num_threads` each).

    A new process for each job, not joblib's own workers: these keep what a job left in them, and where one dies (out of
    memory, say) joblib gives up all jobs.
    """

    def __init__(self, n_jobs: int | None = None):
        if n_jobs is not None and n_jobs < 1:
            raise ConfigError(
                f"hydra.launcher.n_jobs={n_jobs} must be at least 1, or null for as many as there are cores."
            )
        self._n_jobs = n_jobs
        self._joblib = optional_import("joblib", extra="joblib")

    def run(self, jobs: Sequence[Job]) -> None:
        check_not_running(jobs)
        n_jobs = self._n_jobs or max_parallel_jobs(jobs)
        print(f"{len(jobs)} jobs, {min(n_jobs, len(jobs))} at a time", flush=True)
        with ProcessGroup() as processes:
            run = self._joblib.delayed(processes.run)
            # In threads, since all they do is wait.
            self._joblib.Parallel(n_jobs, backend="threading")(
                run(job.command(), job.environment) for job in jobs
            )
        processes.check("Interrupted.")
