"""Jobs on a Ray cluster: an existing one, or one that is started for the sweep."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mbrl.errors import ConfigError, one_line
from mbrl.extras import optional_import
from mbrl.launchers.job import AbstractBackend, Job, check_not_running, usable_cores
from mbrl.launchers.report import Refusals, recorded_refusal
from mbrl.runs.signals import interrupted_by
from mbrl.terminal import RunConsole

OBJECT_STORE_BYTES = 100 * 2**20  # small, because tasks exchange only folder names
# Seconds to wait for the process of a lost node to notice the loss and end.
LOCK_TIMEOUT = 120.0
POLL_INTERVAL = 1.0  # seconds


class Ray(AbstractBackend):
    """Runs each job as a task in a process of its own.

    Every node must see the sweep's folder by the same path and have mbrl installed. `address` is a
    cluster's (`auto`, `host:port`, `ray://host:port`); null starts one on this machine. `init` has
    further arguments of ray.init. A task whose process or node is lost resumes on another one from
    the run's last checkpoint, at most `max_retries` times.
    """

    def __init__(
        self,
        address: str | None = None,
        num_cpus_per_job: float | None = None,
        max_retries: int = 10,
        init: Mapping | None = None,
    ):
        if max_retries < -1:
            raise ConfigError(
                f"hydra.launcher.max_retries={max_retries}: must be at least 0, or -1 for no limit."
            )
        if num_cpus_per_job is not None and not num_cpus_per_job > 0:
            raise ConfigError(
                f"hydra.launcher.num_cpus_per_job={num_cpus_per_job}: must be positive, "
                "or null for the job's num_threads."
            )
        # By default Ray reports usage to its developers and drops similar output lines.
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"} | os.environ
        self._ray = optional_import("ray", extra="ray", option="hydra/launcher=ray")
        self._address, self._num_cpus, self._max_retries = address, num_cpus_per_job, max_retries
        self._init = dict(init or {})

    def run(self, jobs: Sequence[Job]) -> None:
        check_not_running(jobs)
        self._connect()
        try:
            with interrupted_by(signal.SIGTERM):  # ray.init has replaced the handler
                self._check_cpus(jobs)
                self._run_tasks(jobs)
        finally:
            self._ray.shutdown()

    def _connect(self) -> None:
        arguments: dict[str, Any] = {"address": self._address}
        if self._address is None:
            arguments |= {
                "num_cpus": usable_cores(),
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
            }
        try:
            self._ray.init(**arguments | self._init)
        except (ConnectionError, ValueError, TypeError, RuntimeError) as error:
            address = "null" if self._address is None else self._address
            raise ConfigError(
                f"hydra.launcher.address={address}: Ray cannot be reached or started "
                f"({one_line(error)}). Check the address and hydra.launcher.init."
            ) from error

    def _check_cpus(self, jobs: Sequence[Job]) -> None:
        """Raises ConfigError if a job never fits. A given cluster is not checked: it may grow."""
        needed = self._num_cpus or max((job.num_threads for job in jobs), default=0)
        largest = max((node["Resources"].get("CPU", 0) for node in self._ray.nodes()), default=0)
        if self._address is None and needed > largest:
            raise ConfigError(
                f"A job needs {needed} CPUs, but this machine has {largest:g}. "
                "Lower hydra.launcher.num_cpus_per_job or num_threads."
            )

    def _run_tasks(self, jobs: Sequence[Job]) -> None:
        tasks, refusals = {}, Refusals()
        for job in jobs:
            # max_calls=1: no process is reused, so no state of one job reaches the next. Exceptions
            # are not retried: a run that failed by itself would fail again.
            task = self._ray.remote(
                max_calls=1, max_retries=self._max_retries, retry_exceptions=False
            )(run_when_unlocked)
            num_cpus, name = self._num_cpus or job.num_threads, job.folder.name.split("_")[0]
            tasks[task.options(num_cpus=num_cpus, name=name).remote(job)] = job
        try:
            while tasks:
                ended, _ = self._ray.wait(list(tasks), timeout=POLL_INTERVAL)
                for task in ended:
                    job = tasks.pop(task)
                    try:
                        self._ray.get(task)
                    except self._ray.exceptions.RayError as error:
                        refusal = recorded_refusal(job.folder)
                        refusals.show(refusal)
                        if not refusal:
                            line = str(error).strip().splitlines()[-1]
                            RunConsole().say(f"{job.folder.name}: {line}")
        except KeyboardInterrupt:
            for task in tasks:
                self._ray.cancel(
                    task
                )  # raises KeyboardInterrupt in the run, which saves a checkpoint
            with contextlib.suppress(KeyboardInterrupt):
                self._ray.wait(list(tasks), num_returns=len(tasks), timeout=LOCK_TIMEOUT)
            raise


def run_when_unlocked(job: Job) -> None:
    """Run a job as soon as its folder is unlocked.

    The process of a lost node can outlive its node by some seconds. Raises BlockingIOError after
    LOCK_TIMEOUT.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            return job.run()
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_INTERVAL)
