"""A sweep: what every launcher does around its backend.

It locks the sweep's folder, saves each job before any job starts, lets the backend run them, and
reports the results. The same command with the same hydra.sweep.dir resumes a sweep, also with
another launcher: completed jobs are skipped, the others start from their last checkpoint.
"""

import copy
import math
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mbrl.config.launch import check_no_wandb_agent
from mbrl.config.output_folder import check_name
from mbrl.config.validation import convert_whole_numbers, format_value, validation_errors
from mbrl.errors import ConfigError, RunError
from mbrl.launchers.composition import JobComposer
from mbrl.launchers.job import AbstractBackend, Job
from mbrl.launchers.job_files import save_job
from mbrl.launchers.report import Refusals, is_done, why_not_completed, with_progress
from mbrl.regular_files import write_json
from mbrl.runs.folder import lock
from mbrl.runs.reader import read_summary
from mbrl.runs.signals import Interrupted, interrupted_by
from mbrl.runs.sweep_files import check_sweep, read_overrides


class Sweep:
    """The jobs of one sweep and the backend that runs them."""

    def __init__(self, loader: ConfigLoader, config: DictConfig):
        """Lock the sweep's folder before anything is written to it.

        Raises ConfigError for invalid settings, if another sweep uses the folder, and under
        `wandb agent`.
        """
        check_no_wandb_agent()
        check_settings(config)
        self._backend = make_backend(config.hydra.launcher)
        self._config, self._composer = config, JobComposer(loader, config)
        self._folder = Path(config.hydra.sweep.dir).absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        check_sweep(self._folder)
        self._lock = lock_sweep(self._folder)  # held until the process ends
        check_same_sweep(self._folder, list(config.hydra.overrides.task))

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs. Each result's `return_value` is the job's score, or raises an error."""
        setup_globals()
        indices = range(initial_job_idx, initial_job_idx + len(job_overrides))
        for overrides in with_progress("Composing", job_overrides):
            self._composer.compose(overrides)  # raises before anything is saved
        # First, so that `resume` can tell that jobs are missing if this process is killed here.
        write_json(
            self._folder / "sweep.json", {"num_jobs": indices.stop, "command": sys.orig_argv}
        )
        saved = self._save_jobs(job_overrides, indices)
        pending = [job for job, _ in saved if isinstance(job, Job) and not is_done(job.folder)]
        try:
            with interrupted_by(signal.SIGTERM):
                if pending:
                    self._backend.run(pending)
        except KeyboardInterrupt as interrupt:
            raise Interrupted(getattr(interrupt, "signum", signal.SIGINT), "Interrupted.") from None
        for job, result in saved:
            if isinstance(job, ConfigError):  # the result holds it
                continue
            if is_done(job.folder):
                score = read_summary(job.folder).get("evaluation/return_mean")
                result.status = JobStatus.COMPLETED
                result.return_value = math.nan if score is None else score
            else:
                result.status = JobStatus.FAILED
                result.return_value = RunError(why_not_completed(job.folder))
        return [result for _, result in saved]

    def _save_jobs(
        self, job_overrides: Sequence[Sequence[str]], indices: range
    ) -> list[tuple[Job | ConfigError, JobReturn]]:
        """Save each job; in the place of a job with an invalid config is its error.

        Raises ConfigError if two jobs have the same folder."""
        saved: dict[str, tuple[Job | ConfigError, JobReturn]] = {}
        refusals = Refusals()
        for index, overrides in zip(indices, with_progress("Saving", job_overrides), strict=True):
            config = self._composer.compose(overrides)
            job, result = save_job(config, self._config, index, overrides)
            folder = str(result.working_dir)
            if folder in saved:
                raise ConfigError(
                    f"hydra.sweep.subdir={Path(folder).name}: must not be the same for two jobs. "
                    "Include the settings in which jobs differ."
                )
            saved[folder] = job, result
            if isinstance(job, ConfigError):
                refusals.show(str(job))
        return list(saved.values())


def make_backend(settings: DictConfig) -> AbstractBackend:
    """The backend that `hydra.launcher` names. Raises ConfigError for invalid settings."""
    settings = copy.deepcopy(settings)  # keeps its parent, and so its full name in messages
    with read_write(settings), open_dict(settings):
        settings.pop("max_jobs", None)  # not the backend's
        name = settings.pop("backend", None)
        settings._target_ = name
    backend: Any = None
    found = re.fullmatch(r"(mbrl\.launchers\.\w+)\.(\w+)", str(name))
    with suppress(ModuleNotFoundError):
        backend = getattr(import_module(found[1]), found[2], None) if found else None
    if not (isinstance(backend, type) and issubclass(backend, AbstractBackend)):
        raise ConfigError(
            f"hydra.launcher.backend={format_value(name)}: must name a backend in mbrl.launchers. "
            "Choose one by hydra/launcher=local, joblib, ray or submitit_slurm."
        )
    for message in validation_errors(settings, backend, find=str):
        raise ConfigError(message)
    values: Any = OmegaConf.to_container(settings, resolve=True)
    convert_whole_numbers(values, backend)
    return backend(**{name: value for name, value in values.items() if name != "_target_"})


def check_settings(config: DictConfig) -> None:
    """Raises ConfigError for settings of Hydra that a sweep cannot have."""
    max_batch_size = config.hydra.sweeper.get("max_batch_size")
    if max_batch_size is not None:
        raise ConfigError(
            f"hydra.sweeper.max_batch_size={max_batch_size}: must be null, because a killed sweep "
            "would lose its later batches. Launchers limit the jobs at a time (docs/sweeps.md)."
        )
    subfolder = config.hydra.output_subdir
    if subfolder is not None:
        check_name("hydra.output_subdir", subfolder, "Leave it out.")
    if config.hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true: must be false in a sweep, because jobs can share a process. "
            "Leave it out."
        )


def lock_sweep(sweep: Path) -> int:
    """Lock a sweep's folder. Raises ConfigError if another process has locked it."""
    try:
        return lock(sweep)
    except BlockingIOError:
        raise ConfigError(
            f"Another sweep is running in {sweep}. Wait until it ends, or choose another folder."
        ) from None


def check_same_sweep(folder: Path, overrides: list[str]) -> None:
    """Raises ConfigError if the folder holds a sweep with other overrides."""
    saved = read_overrides(folder)
    if saved is not None and saved != overrides:
        raise ConfigError(
            f"hydra.sweep.dir={folder}: already holds another sweep "
            f"({format_value(shlex.join(saved))}). "
            "Give exactly those settings to resume it, or leave out hydra.sweep.dir."
        )
