"""The folder of each job of a sweep, written before any job starts."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from mbrl.config.hydra_internals import get_overrides_dirname
from mbrl.config.launch import (
    check_environment_id,
    permit_uploads,
    run_info_from_hydra,
    wandb_loggers,
)
from mbrl.config.limits import limited
from mbrl.config.output_folder import check_name
from mbrl.config.resolve import ResolvedConfig, resolve
from mbrl.errors import ConfigError, CorruptRun
from mbrl.launchers.job import Job
from mbrl.loggers.destination import TRUST
from mbrl.regular_files import write_atomic, write_json
from mbrl.run_info import RunInfo
from mbrl.runs.folder import RunFolder
from mbrl.runs.saved_config import read_config


@limited()
def save_job(
    config: DictConfig, sweep: DictConfig, index: int, overrides: Sequence[str]
) -> tuple[Job | ConfigError, JobReturn]:
    """Save a job's config in its folder, unless it is there already because the sweep is resumed.

    `sweep` is the sweep's own config. If the job's config is invalid, its ConfigError is in the
    place of the job, and in the result.
    """
    folder = _assign_folder(config, index, _folder_name(sweep, config, overrides))
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.set_struct(task, True)
    result = JobReturn(  # without the configs, which would fill the memory
        overrides=list(config.hydra.overrides.task),
        working_dir=str(folder),
    )
    try:
        info = run_info_from_hydra(task, sweep.hydra.overrides.task)
        resolved = _write_job(folder, config, task, info)
    except ConfigError as error:
        result.status, result.return_value = JobStatus.FAILED, error
        return error, result
    logging: Any = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    verbose = config.hydra.verbose  # a boolean, a logger's name, or a list of them
    job = Job(
        folder,
        arguments=_arguments(folder, resolved, info),
        environment={str(name): str(value) for name, value in config.hydra.job.env_set.items()},
        num_threads=resolved.tree.num_threads,
        logging=logging,
        verbose=list(verbose) if OmegaConf.is_list(verbose) else verbose,
        program=resolved.fingerprint(seed=None),
    )
    return job, result


def _folder_name(sweep: DictConfig, config: DictConfig, overrides: Sequence[str]) -> str:
    """The overrides in which the job differs from others; all of them if it differs in none.

    Hydra's own `override_dirname` repeats the whole command line in every job's name.
    """
    parser, style = OverridesParser.create(), config.hydra.job.config.override_dirname
    given = parser.parse_overrides(list(sweep.hydra.overrides.task))
    swept = {override.key_or_group for override in given if override.is_sweep_override()}
    shared = {override.key_or_group for override in given} - swept
    name = partial(
        get_overrides_dirname,
        parser.parse_overrides(list(overrides)),
        kv_sep=style.kv_sep,
        item_sep=style.item_sep,
    )
    excluded = list(style.exclude_keys)
    return name(exclude_keys=[*excluded, *shared]) or name(exclude_keys=excluded)


def _assign_folder(config: DictConfig, index: int, name: str) -> Path:
    """Set the job's index, name and folder in Hydra's part of the config. Returns the folder.

    Raises ConfigError if hydra.sweep.subdir is not a single folder name.
    """
    with read_write(config.hydra), open_dict(config):
        job = config.hydra.job
        job.id, job.num, job.override_dirname = str(index), index, name
    HydraConfig.instance().set_config(config)
    subdir = str(config.hydra.sweep.subdir)
    check_name("hydra.sweep.subdir", subdir, "Write ${safe_name:…} around it.")
    folder = Path(config.hydra.sweep.dir).absolute() / subdir
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(folder)
    HydraConfig.instance().set_config(config)
    return folder


def _write_job(folder: Path, config: DictConfig, task: DictConfig, info: RunInfo) -> ResolvedConfig:
    """Write the job's files and return its resolved config.

    Raises ConfigError for an invalid config, and if the folder belongs to another job.
    """
    folder.mkdir(parents=True, exist_ok=True)
    provenance = info.to_provenance()
    try:
        resolved = resolve(task)
        check_environment_id(resolved.tree.env.id, info.choices["env"])
        resolved = permit_uploads(resolved, info)
    except ConfigError:
        write_json(folder / "provenance.json", provenance)
        with RunFolder(folder, OmegaConf.to_yaml(task), resume=True):
            raise  # recorded there
    file = folder / "config.yaml"
    if not file.exists():
        _write_hydra_files(folder, config, task)
        write_json(folder / "provenance.json", provenance)
        write_atomic(file, resolved.to_yaml())  # last, because it makes the folder a run
        return resolved
    try:  # a resumed run may change settings that the fingerprint leaves out
        saved = ResolvedConfig(read_config(folder))
        is_same = saved.fingerprint() == resolved.fingerprint()
    except (CorruptRun, OmegaConfBaseException):
        is_same = False
    if not is_same:
        raise ConfigError(
            f"hydra.sweep.subdir={folder.name}: already the folder of a job with other settings. "
            "Include the settings in which jobs differ, or leave out hydra.sweep.dir."
        )
    return resolved


def _arguments(folder: Path, config: ResolvedConfig, info: RunInfo) -> tuple[str, ...]:
    """What the job may do beyond a saved run: trust packages, and upload as its sweep would.

    The mode, entity and project of `config` count for the sweep: from foreign files, only those
    that were typed are left. A folder that was there already may have another logger, and so does
    not get trust=[wandb].
    """
    loggers, trust = wandb_loggers(config), list(info.trust)
    is_own = info.config_source == "own"
    if is_own and loggers and read_config(folder)["logger"] == config.settings["logger"]:
        trust = list(dict.fromkeys([*trust, TRUST]))
    allowed = [f"trust={json.dumps(trust)}"] if trust else []
    for name, node in loggers.items():
        for key in ("mode",) if is_own else ("mode", "entity", "project"):
            if str(name).isidentifier() and key in node:
                allowed.append(f"logger.{name}.{key}={json.dumps(node[key], ensure_ascii=False)}")
    return tuple(allowed)


def _write_hydra_files(folder: Path, config: DictConfig, task: DictConfig) -> None:
    """Write .hydra/*.yaml as Hydra does for a single run."""
    if config.hydra.output_subdir is None:
        return
    subfolder = folder / config.hydra.output_subdir
    subfolder.mkdir(parents=True, exist_ok=True)
    hydra = OmegaConf.masked_copy(config, ["hydra"])
    files = {"config": task, "hydra": hydra, "overrides": config.hydra.overrides.task}
    for name, content in files.items():
        write_atomic(subfolder / f"{name}.yaml", OmegaConf.to_yaml(content))
