"""One job of a sweep, and the interface of the backends that run them."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.utils import configure_log, env_override
from omegaconf import OmegaConf

from mbrl.config.launch import read_run, run_info_from_provenance
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError
from mbrl.regular_files import check_entries
from mbrl.runs.log import log_to
from mbrl.runs.reader import is_completed, is_running


@dataclass(frozen=True)
class Job:
    """One job of a sweep: all that a process needs, here or on another machine, to run it.

    Its config is saved first, so any process that can see the folder can start or resume it.
    """

    folder: Path  # absolute
    arguments: tuple[str, ...] = ()  # overrides of `resume`: what the sweep's command line allows
    environment: Mapping[str, str] = field(default_factory=dict)  # hydra.job.env_set
    num_threads: int = 1
    # hydra.job_logging and hydra.verbose, for backends that call `run`.
    logging: Mapping[str, Any] | None = None
    verbose: bool | str | Sequence[str] = False
    program: str = ""  # equal for jobs that differ only in their seeds

    def run(self, owns_terminal: bool = False) -> None:
        """Start the run in this process, or resume it from its last checkpoint.

        `owns_terminal`: no other process writes to the terminal. Raises what a run raises.
        """
        check_entries(self.folder)
        if is_completed(self.folder):  # by another process, since the job was submitted
            return
        with env_override(dict(self.environment)):
            config, provenance = read_run(self.folder, self.arguments)
            if self.logging is None:
                log_to(self.folder)
            else:
                configure_log(OmegaConf.create(dict(self.logging)), self.verbose)
            # Imported after read_run, which selects JAX's platform.
            from mbrl.experiment import execute

            info = run_info_from_provenance(self.folder, provenance, self.arguments, owns_terminal)
            execute(resolve(config), info, resume=True)

    def command(self) -> list[str]:
        """The command that runs the job in a process of its own."""
        resume = [sys.executable, "-m", "mbrl", "resume", str(self.folder), "--plain"]
        return [*resume, *self.arguments]


class AbstractBackend(ABC):
    """Runs jobs. The constructor's arguments are the settings of a file in conf/hydra/launcher.

    The constructor raises ConfigError for invalid settings.
    """

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> None:
        """Run each job to its end. A failed job is recorded in its summary.json and stops no other.

        Raises KeyboardInterrupt if asked to stop, after each running job has saved a checkpoint.
        """


def check_not_running(jobs: Sequence[Job]) -> None:
    """Raises ConfigError if a job is running already, for example left over from a killed sweep."""
    for job in jobs:
        if is_running(job.folder):
            raise ConfigError(
                f"{job.folder} is still running. Wait until it ends, "
                "then give the same command again."
            )


def usable_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # missing on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def max_parallel_jobs(jobs: Sequence[Job]) -> int:
    """How many jobs can run at once without more threads than cores.

    A job's num_threads is never lowered, because the last digits of its results depend on it.
    """
    return max(1, usable_cores() // max((job.num_threads for job in jobs), default=1))
