"""Jobs on a Ray cluster: one that is there, or one that is started here for the sweep."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mbrl.errors import ConfigError
from mbrl.launchers.cores import usable_cores
from mbrl.launchers.extras import optional_import
from mbrl.launchers.job import Job, check_not_running
from mbrl.launchers.way import AbstractBackend
from mbrl.runs.signals import interrupted_by

OBJECT_STORE = 100 * 2**20  # bytes; jobs hand over nothing but their folders' names
LOCK_PATIENCE = (
    120.0  # seconds to wait for the process of a node that was lost to notice it, and end
)
LOOK_EVERY = 1.0  # seconds


class Ray(AbstractBackend):
    """A task a job, in a process of its own, on any node that sees the sweep's folder by the same path and has mbrl installed.

    `address` is a cluster's (`auto`, `host:port`, `ray://host:port`); null starts one on this machine. `init` are further
    arguments of ray.init. A task whose process or node is lost goes on elsewhere from the run's last checkpoint, `max_retries`
    times at most.
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
                f"hydra.launcher.max_retries={max_retries} must be at least 0, or -1 for ever."
            )
        # Else it would report to its makers, and leave out lines that look like others.
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"} | os.environ
        self._ray = optional_import("ray", extra="ray")
        if num_cpus_per_job is not None and not num_cpus_per_job > 0:
            raise ConfigError(
                f"hydra.launcher.num_cpus_per_job={num_cpus_per_job} must be positive, or null for the job's num_threads."
            )
        self._address, self._num_cpus, self._max_retries = address, num_cpus_per_job, max_retries
        self._init = dict(init or {})

    def run(self, jobs: Sequence[Job]) -> None:
        check_not_running(jobs)
        self._connect()
        try:
            with interrupted_by(signal.SIGTERM):  # again, since Ray has taken it
                self._run(jobs)
        finally:
            self._ray.shutdown()

    def _connect(self) -> None:
        arguments: dict[str, Any] = {"address": self._address}
        if self._address is None:
            arguments |= {
                "num_cpus": usable_cores(),
                "object_store_memory": OBJECT_STORE,
                "include_dashboard": False,
            }
        try:
            self._ray.init(**arguments | self._init)
        except (ConnectionError, ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(
                f"hydra.launcher.address={self._address}: Ray cannot be reached or started: {error}"
            ) from error

    def _run(self, jobs: Sequence[Job]) -> None:
        self._refuse_what_fits_nowhere(jobs)
        tasks = {self._start(job): job for job in jobs}
        try:
            while tasks:
                ended, _ = self._ray.wait(list(tasks), timeout=LOOK_EVERY)
                for task in ended:
                    self._report(task, tasks.pop(task))
        except KeyboardInterrupt:
            for task in tasks:
                self._ray.cancel(task)  # an interrupt: the run writes a checkpoint and ends
            with contextlib.suppress(KeyboardInterrupt):
                self._ray.wait(list(tasks), num_returns=len(tasks), timeout=LOCK_PATIENCE)
            raise

    def _refuse_what_fits_nowhere(self, jobs: Sequence[Job]) -> None:
        wanted = self._num_cpus or max((job.num_threads for job in jobs), default=0)
        largest = max((node["Resources"].get("CPU", 0) for node in self._ray.nodes()), default=0)
        if self._address is None and wanted > largest:  # another cluster may grow
            raise ConfigError(
                f"A job wants {wanted} CPUs and there are {largest:g}: lower hydra.launcher.num_cpus_per_job or num_threads."
            )

    def _start(self, job: Job) -> Any:
        # max_calls: nothing of one job is left for the next. A run that failed by itself would do so again.
        task = self._ray.remote(max_calls=1, max_retries=self._max_retries, retry_exceptions=False)(
            run_once_free
        )
        return task.options(
            num_cpus=self._num_cpus or job.num_threads, name=job.folder.name.split("_")[0]
        ).remote(job)

    def _report(self, task: Any, job: Job) -> None:
        try:
            self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            print(f"{job.folder.name}: {str(error).strip().splitlines()[-1]}", flush=True)


def run_once_free(job: Job) -> None:
    """Carries out a job once nobody else does: the process of a node that was lost may live some seconds longer than its node."""
    give_up = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            return job.run()
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise
            time.sleep(LOOK_EVERY)
