"""A job of a sweep: a run that is written down, and can be carried out, or gone on with, wherever its folder is seen."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.utils import configure_log, env_override
from omegaconf import OmegaConf

from mbrl.config.launch import read_run, run_info_from_provenance
from mbrl.errors import ConfigError
from mbrl.runs.log import log_to
from mbrl.runs.reader import is_completed, is_running


@dataclass(frozen=True)
class Job:
    """What a process, here or on another machine, must be told to carry out a job."""

    folder: Path  # absolute
    trust: tuple[str, ...] = ()  # packages that the sweep's command line vouches for
    environment: Mapping[str, str] = field(
        default_factory=dict
    )  # variables to set (hydra.job.env_set)
    num_threads: int = 1  # that it computes with
    logging: Mapping[str, Any] | None = (
        None  # hydra.job_logging, for where it is carried out in this very process or handed over
    )
    verbose: bool | str | Sequence[str] = False  # hydra.verbose
    program: str = ""  # the same for jobs that differ in nothing but their seeds

    def run(self, owns_terminal: bool = False) -> None:
        """Begins the run in this process, or goes on with it from its last checkpoint; `owns_terminal` if no other writes to its terminal.

        Raises what a run raises.
        """
        if is_completed(self.folder):  # by another, since it was handed over
            return
        with env_override(dict(self.environment)):
            self._run(owns_terminal)

    def _run(self, owns_terminal: bool) -> None:
        config, kept, trust = read_run(self.folder, self.arguments)
        if self.logging is None:
            log_to(self.folder)
        else:
            configure_log(OmegaConf.create(dict(self.logging)), self.verbose)
        from mbrl.experiment import execute  # here, once it is known what JAX shall run on

        execute(
            config, run_info_from_provenance(self.folder, kept, trust, owns_terminal), resume=True
        )

    def command(self) -> list[str]:
        """What carries it out in a process of its own."""
        return [
            sys.executable,
            "-m",
            "mbrl",
            "resume",
            str(self.folder),
            "--plain",
            *self.arguments,
        ]

    @property
    def arguments(self) -> list[str]:
        """What the command line of a process that carries it out must say."""
        return [f"trust={json.dumps(self.trust)}"] if self.trust else []


def check_not_running(jobs: Sequence[Job]) -> None:
    """Raises ConfigError where a job is being carried out already: by what outlived a sweep that was killed, or by somebody else."""
    for job in jobs:
        if is_running(job.folder):
            raise ConfigError(
                f"{job.folder} is running already: wait until it ends, and give the same command again."
            )
