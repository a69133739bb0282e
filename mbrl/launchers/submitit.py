"""Jobs handed to Slurm, or to processes that stand in for it, by submitit."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mbrl.config import ConfigError
from mbrl.launchers.cores import at_once
from mbrl.launchers.extras import required
from mbrl.launchers.job import Job
from mbrl.launchers.way import AbstractWay
from mbrl.runs.reader import is_completed

LOOK_EVERY = 0.5  # seconds, at what has ended


class SubmittedJob:
    """What submitit keeps in a file and calls on the cluster's machine: a job that is interrupted there is queued again, and goes on."""

    def __init__(self, job: Job):
        self.job = job

    def __call__(self) -> None:
        self.job.carry_out()

    def checkpoint(self) -> Any:
        """What to queue when the time is up or the machine is wanted by another: the same again."""
        return required("submitit", extra="slurm").helpers.DelayedSubmission(self)


class Submitit(AbstractWay):
    """`cluster` is slurm or local; the rest are submitit's parameters (sbatch's, by submitit's names).

    `max_num_timeout` is how often a job that ran out of time is queued again.
    """

    def __init__(self, cluster: str, max_num_timeout: int = 100, jobs_at_once: int | None = None, **parameters: Any):
        self._submitit = required("submitit", extra="slurm")
        self._cluster, self._max_num_timeout, self._jobs_at_once = cluster, max_num_timeout, jobs_at_once
        self._parameters = {name: value for name, value in parameters.items() if value is not None}

    def carry_out(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        logs = jobs[0].folder.parent / ".submitit"
        executor = self._executor(logs)
        if self._cluster == "slurm":
            with executor.batch():  # one array
                submitted = {job.folder: executor.submit(SubmittedJob(job)) for job in jobs}
            self._wait(submitted, 0)
        else:
            most, submitted = self._jobs_at_once or at_once(jobs), {}
            for job in jobs:
                self._wait(submitted, most - 1)
                submitted[job.folder] = executor.submit(SubmittedJob(job))
            self._wait(submitted, 0)
        for folder, task in submitted.items():
            if not is_completed(folder):
                print(f"{folder.name} is not completed; what its process printed: {task.paths.stderr}", flush=True)

    def _executor(self, logs: Path) -> Any:
        try:
            executor = self._submitit.AutoExecutor(folder=logs / "%j", cluster=self._cluster, **self._retries())
            executor.update_parameters(**self._parameters)
        except (ValueError, TypeError, NameError, RuntimeError) as error:
            raise ConfigError(f"hydra.launcher: submitit cannot submit to {self._cluster} with these settings: {error}") from error
        return executor

    def _retries(self) -> dict[str, int]:
        return {f"{self._cluster}_max_num_timeout": self._max_num_timeout}

    def _wait(self, submitted: dict[Path, Any], most: int) -> None:
        """Until no more than `most` of them are under way. Ctrl-C asks those on this machine to stop; those on a cluster go on."""
        try:
            while sum(not task.done() for task in submitted.values()) > most:
                time.sleep(LOOK_EVERY)
        except KeyboardInterrupt:
            if self._cluster == "slurm":
                numbers = " ".join(task.job_id for task in submitted.values())
                print(f"The jobs stay in Slurm's queue; to end them: scancel {numbers}", flush=True)
            else:
                _stop(submitted)
            raise


def _stop(submitted: dict[Path, Any]) -> None:
    """Each writes a checkpoint and ends."""
    for task in submitted.values():
        task.cancel()
    while not all(task.done() for task in submitted.values()):
        time.sleep(LOOK_EVERY)
