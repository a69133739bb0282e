"""Jobs in a Slurm array, by the package submitit; or local processes, to try a sweep."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from mbrl.errors import ConfigError, one_line
from mbrl.extras import optional_import
from mbrl.launchers.job import AbstractBackend, Job, check_not_running, max_parallel_jobs
from mbrl.launchers.report import is_done
from mbrl.regular_files import write_json
from mbrl.runs.sweep_files import LOGS, read_slurm_ids
from mbrl.terminal import RunConsole

POLL_INTERVAL = {"local": 0.5, "slurm": 5.0}  # seconds
SQUEUE_TIMEOUT = 60.0  # seconds


class SubmittedJob:
    """The function that submitit pickles and calls on the cluster."""

    def __init__(self, job: Job):
        self.job = job

    def __call__(self) -> None:
        self.job.run()

    def checkpoint(self) -> Any:
        """What to queue after a timeout or preemption: the same job, which then resumes."""
        return _submitit().helpers.DelayedSubmission(self)


class Submitit(AbstractBackend):
    """Submits jobs to Slurm; `cluster=local` starts them on this machine, to try a sweep.

    A job that ran out of time is queued again, at most `max_num_timeout` times. Jobs of an earlier
    command that are still in Slurm's queue are waited for, not submitted twice. Further parameters
    are submitit's, by submitit's names.
    """

    def __init__(
        self,
        cluster: Literal["slurm", "local"],
        max_num_timeout: int = 100,
        slurm_array_parallelism: int = 256,
        cpus_per_task: int | None = None,
        **parameters: Any,
    ):
        if slurm_array_parallelism < 1:
            raise ConfigError(
                f"hydra.launcher.slurm_array_parallelism={slurm_array_parallelism}: "
                "must be at least 1. Try 256."
            )
        self._submitit = _submitit()
        self._cluster, self._max_num_timeout = cluster, max_num_timeout
        self._max_parallel = slurm_array_parallelism
        self._cpus_per_task = cpus_per_task
        self._parameters = {name: value for name, value in parameters.items() if value is not None}

    def run(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        logs = jobs[0].folder.parent / LOGS
        run = self._run_on_slurm if self._cluster == "slurm" else self._run_locally
        run(jobs, logs)
        if not all(is_done(job.folder) for job in jobs):
            RunConsole().say(f"What the jobs printed is in {logs}.")

    def _run_on_slurm(self, jobs: Sequence[Job], logs: Path) -> None:
        sweep = jobs[0].folder.parent
        submitted = queued_jobs(sweep)
        new = [job for job in jobs if job.folder.name not in submitted]
        check_not_running(new)
        if new:
            executor = self._executor(logs, jobs)
            try:
                with executor.batch():  # as one array
                    tasks = {job.folder.name: executor.submit(SubmittedJob(job)) for job in new}
            except self._submitit.core.utils.FailedJobError as error:
                raise ConfigError(
                    f"hydra.launcher: submitit cannot submit to slurm ({one_line(error)}). "
                    "Check the settings, and that sbatch works on this machine."
                ) from error
            submitted |= {name: task.job_id for name, task in tasks.items()}
            write_json(logs / "jobs.json", submitted)
        try:
            while queued_jobs(sweep):
                time.sleep(POLL_INTERVAL["slurm"])
        except KeyboardInterrupt:
            RunConsole().say(
                "The jobs stay in Slurm's queue. To wait for them again, give the same command "
                f"with hydra.sweep.dir={sweep}. "
                f"To end them: scancel {' '.join(submitted.values())}"
            )
            raise

    def _run_locally(self, jobs: Sequence[Job], logs: Path) -> None:
        check_not_running(jobs)
        executor = self._executor(logs, jobs)
        parallelism = min(self._max_parallel, max_parallel_jobs(jobs))
        tasks: list[Any] = []
        try:
            for job in jobs:
                _wait(tasks, parallelism - 1)
                tasks.append(executor.submit(SubmittedJob(job)))
            _wait(tasks, 0)
        except KeyboardInterrupt:
            for task in tasks:
                with suppress(ProcessLookupError):
                    # submitit forwards SIGTERM, and the run saves a checkpoint. `task.cancel` would
                    # leave no time for that.
                    os.kill(int(task.job_id), signal.SIGTERM)
            _wait(tasks, 0)
            raise

    def _executor(self, logs: Path, jobs: Sequence[Job]) -> Any:
        num_threads = max(job.num_threads for job in jobs)
        retries = {f"{self._cluster}_max_num_timeout": self._max_num_timeout}
        # New, since jobs unpickle what they find in it.
        folder = logs / secrets.token_hex(8)
        folder.mkdir(parents=True)
        try:
            executor = self._submitit.AutoExecutor(
                folder=folder / "%j", cluster=self._cluster, **retries
            )
            executor.update_parameters(
                slurm_array_parallelism=self._max_parallel,
                cpus_per_task=num_threads if self._cpus_per_task is None else self._cpus_per_task,
                **self._parameters,
            )
        except (ValueError, TypeError, NameError, RuntimeError, AssertionError) as error:
            reason = one_line(error) if str(error) else "a value has the wrong type"
            raise ConfigError(
                f"hydra.launcher: submitit cannot submit to {self._cluster} with these settings "
                f"({reason}). See conf/hydra/launcher/submitit_slurm.yaml."
            ) from error
        return executor


def queued_jobs(sweep: Path) -> dict[str, str]:
    """The jobs of a sweep that wait in Slurm's queue or run: folder name → Slurm job id."""
    submitted = read_slurm_ids(sweep)
    if not submitted:
        return {}
    try:
        squeue = subprocess.run(
            ["squeue", "--noheader", "--array", "--format=%i"],
            capture_output=True,
            text=True,
            timeout=SQUEUE_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as reason:
        raise ConfigError(
            f"squeue cannot list which jobs of {sweep} are in Slurm's queue ({one_line(reason)}). "
            "Try again on a machine where squeue works."
        ) from reason
    queued = set(squeue.stdout.split())
    return {name: job for name, job in submitted.items() if job in queued}


def _wait(tasks: Sequence[Any], max_running: int) -> None:
    """Wait until at most `max_running` tasks are running."""
    while sum(not task.done() for task in tasks) > max_running:
        time.sleep(POLL_INTERVAL["local"])


def _submitit() -> Any:
    return optional_import("submitit", extra="slurm", option="hydra/launcher=submitit_slurm")
