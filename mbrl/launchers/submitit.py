"""Jobs handed to Slurm, or to processes that stand in for it, by submitit."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from mbrl.errors import ConfigError
from mbrl.launchers.cores import max_parallel_jobs
from mbrl.launchers.extras import optional_import
from mbrl.launchers.job import Job, check_not_running
from mbrl.launchers.report import is_done
from mbrl.launchers.way import AbstractBackend
from mbrl.runs.folder import write_json

LOGS = ".submitit"  # in the sweep's folder: what jobs print, and which jobs were handed over
LOOK_EVERY = {"local": 0.5, "slurm": 5.0}  # seconds, at what has ended
SQUEUE_SECONDS = 60.0


class SubmittedJob:
    """What submitit keeps in a file and calls on the cluster's machine: a job that is interrupted there is queued again, and goes on."""

    def __init__(self, job: Job):
        self.job = job

    def __call__(self) -> None:
        self.job.run()

    def checkpoint(self) -> Any:
        """What to queue when the time is up or the machine is wanted by another: the same again."""
        return optional_import("submitit", extra="slurm").helpers.DelayedSubmission(self)


class Submitit(AbstractBackend):
    """`cluster` is slurm or local; the rest are submitit's parameters (sbatch's, by submitit's names).

    `max_num_timeout` is how often a job that ran out of time is queued again. Jobs that an earlier command has left in Slurm's
    queue are waited for, and not handed over a second time.
    """

    def __init__(
        self,
        cluster: Literal["slurm", "local"],
        max_num_timeout: int = 100,
        jobs_at_once: int | None = None,
        **parameters: Any,
    ):
        if jobs_at_once is not None and jobs_at_once < 1:
            raise ConfigError(
                f"hydra.launcher.jobs_at_once={jobs_at_once} must be at least 1, or null for as many as there are cores."
            )
        self._submitit = optional_import("submitit", extra="slurm")
        self._cluster, self._max_num_timeout, self._jobs_at_once = (
            cluster,
            max_num_timeout,
            jobs_at_once,
        )
        self._parameters = {name: value for name, value in parameters.items() if value is not None}

    def run(self, jobs):
        if jobs:
            logs = jobs[0].folder.parent / LOGS
            run = self._run_in_slurm if self._cluster == "slurm" else self._run_locally
            run(jobs, logs)
            for job in jobs:
                if not is_done(job.folder):
                    print(
                        f"{job.folder.name} is not completed; what the jobs printed is in {logs}.",
                        flush=True,
                    )

    def _run_in_slurm(self, jobs: Sequence[Job], logs: Path) -> None:
        under_way = queued_jobs(jobs[0].folder.parent)
        new = [job for job in jobs if job.folder.name not in under_way]
        check_not_running(new)
        if new:
            under_way |= self._submit_array(new, logs)
            write_json(logs / "jobs.json", under_way)
        try:
            while queued_jobs(jobs[0].folder.parent):
                time.sleep(LOOK_EVERY["slurm"])
        except KeyboardInterrupt:
            print(
                "The jobs stay in Slurm's queue: the same command with the sweep's hydra.sweep.dir waits for them again; "
                f"to end them: scancel {' '.join(under_way.values())}",
                flush=True,
            )
            raise

    def _submit_array(self, jobs: Sequence[Job], logs: Path) -> dict[str, str]:
        """Slurm's number of each job, by its folder's name."""
        executor = self._executor(logs)
        try:
            with executor.batch():
                tasks = {job.folder.name: executor.submit(SubmittedJob(job)) for job in jobs}
        except self._submitit.core.utils.FailedJobError as error:
            raise ConfigError(
                f"hydra.launcher: submitit cannot submit to slurm: {' '.join(str(error).split())}."
            ) from error
        return {name: task.job_id for name, task in tasks.items()}

    def _run_locally(self, jobs: Sequence[Job], logs: Path) -> None:
        check_not_running(jobs)
        executor, most = self._executor(logs), self._jobs_at_once or max_parallel_jobs(jobs)
        tasks: list[Any] = []
        try:
            for job in jobs:
                _wait(tasks, most - 1)
                tasks.append(executor.submit(SubmittedJob(job)))
            _wait(tasks, 0)
        except KeyboardInterrupt:
            for task in tasks:
                with suppress(ProcessLookupError):
                    # Which submitit passes on, so that each writes a checkpoint and ends; `cancel` would leave no time for that.
                    os.kill(int(task.job_id), signal.SIGTERM)
            _wait(tasks, 0)
            raise

    def _executor(self, logs: Path) -> Any:
        retries = {f"{self._cluster}_max_num_timeout": self._max_num_timeout}
        try:
            executor = self._submitit.AutoExecutor(
                folder=logs / "%j", cluster=self._cluster, **retries
            )
            executor.update_parameters(**self._parameters)
        except (ValueError, TypeError, NameError, RuntimeError, AssertionError) as error:
            why = str(error) or "one of them is not of the kind that it takes"
            raise ConfigError(
                f"hydra.launcher: submitit cannot submit to {self._cluster} with these settings: {why}."
            ) from error
        return executor


def queued_jobs(sweep: Path) -> dict[str, str]:
    """Slurm's number of each of the sweep's jobs, by its folder's name, that waits in the queue or runs."""
    file = sweep / LOGS / "jobs.json"
    if not file.is_file():
        return {}
    try:
        kept = {
            str(name): str(number)
            for name, number in dict(json.loads(file.read_text(encoding="utf-8"))).items()
        }
        said = subprocess.run(
            ["squeue", "--noheader", "--array", "--format=%i"],
            capture_output=True,
            text=True,
            timeout=SQUEUE_SECONDS,
            check=True,
        )
    except (ValueError, TypeError) as reason:
        raise ConfigError(
            f"{file} is damaged ({reason}): remove it once no job of the sweep is in Slurm's queue."
        ) from reason
    except (OSError, subprocess.SubprocessError) as reason:
        raise ConfigError(
            f"squeue does not say which jobs of {sweep} are in Slurm's queue ({reason}): try again where it works."
        ) from reason
    queued = set(said.stdout.split())
    return {name: number for name, number in kept.items() if number in queued}


def _wait(tasks: Sequence[Any], most: int) -> None:
    """Until no more than `most` of them are under way."""
    while sum(not task.done() for task in tasks) > most:
        time.sleep(LOOK_EVERY["local"])
