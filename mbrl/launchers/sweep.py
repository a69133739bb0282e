"""What every launcher does: claims the sweep's folder, writes each job down before any begins, and says what became of them.

A job is a run that goes on wherever its folder is seen (`job.py`): so one that was killed with its process, its machine or
the whole sweep is never lost, and never counted twice. The same command with the same hydra.sweep.dir goes on with a sweep,
under whatever launcher.
"""

import math
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from mbrl.config.allowlist import trusted_packages
from mbrl.config.launch import run_info_from_hydra
from mbrl.config.resolve import fingerprint, resolve, to_yaml
from mbrl.config.validation import validation_errors
from mbrl.errors import ConfigError, CorruptRun, RunError
from mbrl.launchers.job import Job
from mbrl.launchers.report import is_done, print_jobs, shown_path, why_not_completed
from mbrl.launchers.way import AbstractBackend
from mbrl.runs.folder import RunFolder, lock, write_atomic, write_json
from mbrl.runs.reader import read_summary
from mbrl.runs.saved_config import read_config
from mbrl.runs.signals import Interrupted, interrupted_by

BASIC_SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"


class Sweep:
    """The jobs of one sweep, carried out in a `way`."""

    def __init__(self, way: type[AbstractBackend], loader: ConfigLoader, config: DictConfig):
        """Claims the sweep's folder, before anything is written to it.

        Raises ConfigError for settings that no launcher can have, and where another sweep has the folder.
        """
        _check_settings(config)
        for sentence in validation_errors(config.hydra.launcher, way, find=str):
            raise ConfigError(sentence)
        given: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
        self._way = way(**{name: value for name, value in given.items() if name != "_target_"})
        self._loader, self._config = loader, config
        self._folder = Path(config.hydra.sweep.dir).absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_sweep(self._folder)  # until the process ends
        _refuse_another_sweep(self._folder, list(config.hydra.overrides.task))

    def run_info_from_hydra(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Carries out the jobs; `return_value` of what is returned is a job's score, or raises RunError."""
        setup_globals()
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        # First, so that a sweep that is killed while it writes its jobs down is known to lack some.
        write_json(
            self._folder / "sweep.json", {"num_jobs": numbers.stop, "command": sys.orig_argv}
        )
        written = [
            self._save_job(number, list(overrides))
            for number, overrides in zip(numbers, job_overrides, strict=True)
        ]
        check_unique_folders([Path(str(returned.working_dir)) for _, returned in written])
        chosen_beforehand = (
            self._config.hydra.sweeper._target_ == BASIC_SWEEPER
        )  # another sweeper has a summary of its own
        try:
            with interrupted_by(signal.SIGTERM):
                self._way.run(
                    [job for job, _ in written if job is not None and not is_done(job.folder)]
                )
        except KeyboardInterrupt as interruption:
            if chosen_beforehand:
                print_jobs(shown_path(self._folder))
            raise Interrupted(
                getattr(interruption, "signum", signal.SIGINT), "Interrupted."
            ) from None
        if chosen_beforehand:
            print_jobs(shown_path(self._folder))
        return [_with_result(job, returned) for job, returned in written]

    def _save_job(self, number: int, overrides: list[str]) -> tuple[Job | None, JobReturn]:
        """Writes what a job is to be into its folder, unless it is there from a sweep that this one goes on with.

        Returns the job, or None with the reason for one that no run can be.
        """
        config = self._loader.load_sweep_config(self._config, overrides)
        folder = _numbered(config, number, config.hydra.job.override_dirname)
        if (
            not folder.exists()
        ):  # as it does where the sweep was begun when jobs had the names that Hydra gives them
            folder = _numbered(config, number, _what_differs(self._config, config, overrides))
        task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        OmegaConf.set_struct(task, True)
        returned = JobReturn(
            overrides=list(config.hydra.overrides.task),
            cfg=task,
            hydra_cfg=config,
            working_dir=str(folder),
        )
        try:
            settings = _write_job(folder, config, task)
        except ConfigError as error:
            returned.status, returned.return_value = JobStatus.FAILED, error
            return None, returned
        return self._job(folder, config, settings), returned

    def _job(self, folder: Path, config: DictConfig, settings: dict[str, Any]) -> Job:
        job_logging, verbose = (_plain(config.hydra[name]) for name in ("job_logging", "verbose"))
        return Job(
            folder,
            trust=trusted_packages(config.hydra.overrides.task),
            environment={str(name): str(value) for name, value in config.hydra.job.env_set.items()},
            logging=job_logging,
            verbose=verbose,
            num_threads=settings["num_threads"],
            program=fingerprint(settings | {"seed": None}),
        )


def _check_settings(config: DictConfig) -> None:
    """Raises ConfigError for what is Hydra's, and holds for single runs only."""
    if config.hydra.sweeper.get("max_batch_size") is not None:
        raise ConfigError(
            f"hydra.sweeper.max_batch_size={config.hydra.sweeper.max_batch_size} is of no use here, and would make a killed sweep "
            "forget its later batches: leave it out; launchers themselves limit how many jobs there are at once (docs/sweeps.md)."
        )
    if config.hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true holds for single runs only: the jobs of a sweep may share a process; leave it out."
        )


def check_unique_folders(folders: Sequence[Path]) -> None:
    twice = sorted({folder.name for folder in folders if folders.count(folder) > 1})
    if twice:
        raise ConfigError(
            f"hydra.sweep.subdir={twice[0]} would be the folder of two jobs: name in it what jobs differ in."
        )


def lock_sweep(sweep: Path) -> int:
    """Takes the lock of a sweep's folder; raises ConfigError where a sweep lives in it."""
    try:
        return lock(sweep)
    except BlockingIOError:
        raise ConfigError(
            f"Another sweep is running in {sweep}: wait until it ends, or choose another folder."
        ) from None


def _refuse_another_sweep(folder: Path, overrides: list[str]) -> None:
    file = folder / "multirun.yaml"
    if not file.exists():
        return
    try:
        before = yaml.safe_load(file.read_text(encoding="utf-8"))["hydra"]["overrides"]["task"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as reason:
        raise ConfigError(
            f"{file} is damaged ({type(reason).__name__}): choose another hydra.sweep.dir."
        ) from reason
    if before != overrides:
        raise ConfigError(
            f"hydra.sweep.dir={folder} already holds another sweep ({' '.join(map(str, before))}): leave it out to get a new folder; "
            "only the very same settings go on with a sweep that is there."
        )


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _what_differs(sweep: DictConfig, config: DictConfig, overrides: list[str]) -> str:
    """A job's `hydra.job.override_dirname` without what the command gives to all jobs alike; all of it where nothing is left.

    Hydra's own has the whole command in every name, in which nobody finds what is one job's alone.
    """
    parser, form = OverridesParser.create(), config.hydra.job.config.override_dirname
    given = parser.parse_overrides(list(sweep.hydra.overrides.task))
    shared = {override.key_or_group for override in given} - {
        override.key_or_group for override in given if override.is_sweep_override()
    }
    name = partial(
        get_overrides_dirname,
        parser.parse_overrides(overrides),
        kv_sep=form.kv_sep,
        item_sep=form.item_sep,
    )
    return name(exclude_keys=[*form.exclude_keys, *shared]) or name(exclude_keys=form.exclude_keys)


def _numbered(config: DictConfig, number: int, name: str) -> Path:
    """The folder of the job with that number and name, to which all that the config derives from it is set."""
    with read_write(config.hydra), open_dict(config):
        config.hydra.job.id, config.hydra.job.num, config.hydra.job.override_dirname = (
            str(number),
            number,
            name,
        )
    HydraConfig.instance().set_config(config)
    subdir = str(config.hydra.sweep.subdir)
    if Path(subdir).name != subdir:
        raise ConfigError(
            f"hydra.sweep.subdir={subdir} must be a name without /, since jobs lie side by side: write safe_name around it."
        )
    folder = Path(config.hydra.sweep.dir).absolute() / subdir
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(folder)
    HydraConfig.instance().set_config(config)
    return folder


def _write_job(folder: Path, config: DictConfig, task: DictConfig) -> dict[str, Any]:
    """The job's resolve settings, written down. Raises ConfigError for what no run can have, and where the folder is another job's."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        settings = resolve(task)
    except ConfigError as error:
        _write_failure(folder, task, error)
        raise
    file, text = folder / "config.yaml", to_yaml(settings)
    if not file.exists():
        _write_hydra_files(folder, config, task)
        write_json(folder / "provenance.json", run_info_from_hydra(task).to_provenance())
        write_atomic(file, text)  # last, since it makes the folder a run's
    elif not _is_config_of(folder, settings):
        raise ConfigError(
            f"hydra.sweep.subdir={folder.name} is already the folder of a job with other settings: name in it what jobs differ in, "
            "or leave out hydra.sweep.dir to get a new folder."
        )
    return settings


def _is_config_of(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether the job that is there is this one, but for settings that a resume may change."""
    try:
        return fingerprint(read_config(folder)) == fingerprint(settings)
    except (CorruptRun, OmegaConfBaseException):
        return False


def _write_failure(folder: Path, task: DictConfig, error: ConfigError) -> None:
    write_json(folder / "provenance.json", run_info_from_hydra(task).to_provenance())
    with RunFolder(folder, OmegaConf.to_yaml(task), resume=True) as failed:
        failed.finish("failed", error=str(error))


def _write_hydra_files(folder: Path, config: DictConfig, task: DictConfig) -> None:
    """As Hydra's run_job does it."""
    if config.hydra.output_subdir is None:
        return
    own = folder / config.hydra.output_subdir
    own.mkdir(parents=True, exist_ok=True)
    for name, part in {
        "config": task,
        "hydra": OmegaConf.masked_copy(config, ["hydra"]),
        "overrides": config.hydra.overrides.task,
    }.items():
        write_atomic(own / f"{name}.yaml", OmegaConf.to_yaml(part))


def _with_result(job: Job | None, returned: JobReturn) -> JobReturn:
    """A job's score, or the reason that it has none."""
    if job is None:
        return returned
    if is_done(job.folder):
        returned.status, score = (
            JobStatus.COMPLETED,
            read_summary(job.folder)["evaluation/return_mean"],
        )
        returned.return_value = math.nan if score is None else score
    else:
        returned.status, returned.return_value = (
            JobStatus.FAILED,
            RunError(why_not_completed(job.folder)),
        )
    return returned
