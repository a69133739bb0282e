"""RunInfo of new runs, from Hydra, and of saved runs, from provenance.json. Imports no JAX."""

import copy
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mbrl.config.allowlist import load_saved_config, trusted_packages, typed_settings
from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.hydra_guard import has_foreign_files
from mbrl.config.resolve import ResolvedConfig
from mbrl.errors import ConfigError
from mbrl.loggers.destination import check_working_directory, destination, permitted, warning
from mbrl.run_info import FORMAT, RunInfo, wandb_agent_run_id
from mbrl.runs.reader import read_provenance

logger = logging.getLogger(__name__)


def run_info_from_hydra(config: DictConfig, command_line: Sequence[str] | None = None) -> RunInfo:
    """RunInfo of the run that Hydra has prepared. Raises ConfigError where it has prepared none.

    `command_line` has the words of a job's sweep: its own can come from hydra.sweeper.params.
    """
    if not HydraConfig.initialized():
        raise ConfigError(
            "config: was not made by mbrl.compose, or lost its Hydra settings on the way, so its "
            'run has no folder. Compose it: mbrl.compose(["seed=3"]).'
        )
    hydra = HydraConfig.get()
    choices = {
        group: str(choice)
        for group, choice in hydra.runtime.choices.items()
        if "/" not in group and choice
    }
    is_job = hydra.mode == RunMode.MULTIRUN
    given = hydra.overrides.task if command_line is None else command_line
    return RunInfo(
        folder=Path(hydra.runtime.output_dir).absolute(),
        name=f"{choices['env']}_{choices['model']}_{choices['planner']}_seed{config.seed}",
        group="/".join(Path(hydra.sweep.dir).parts[-2:]) if is_job else None,
        choices=choices,
        trust=trusted_packages(given),
        config_source="foreign" if has_foreign_files(hydra) else "own",
        typed=typed_settings(given),
        overrides=tuple(hydra.overrides.task),
        environment={str(name): str(value) for name, value in hydra.job.env_set.items()},
    )


def permit_uploads(config: ResolvedConfig, info: RunInfo) -> ResolvedConfig:
    """The config with what counts of a foreign one's W&B destination, which config.yaml then has.

    Raises ConfigError where a run may not be uploaded, or may not start in this working directory.
    """
    if info.config_source == "own":
        return config
    settings = copy.deepcopy(config.settings)
    for name, node in wandb_loggers(config).items():
        run_info, wanted = replace(info, logger_name=str(name)), destination(node)
        used = permitted(run_info, wanted)
        if used.mode != "disabled":
            check_working_directory(run_info)
        if info.config_source == "saved":
            continue
        message = warning(run_info, wanted, used)
        if message:  # once a sweep, not once a job
            _warn(message, info.folder if info.group is None else info.folder.parent)
        changed = {key: value for key, value in used._asdict().items() if node.get(key) != value}
        settings["logger"][name] |= {key: changed[key] for key in changed if key in node}
    return ResolvedConfig(settings)


def wandb_loggers(config: ResolvedConfig) -> dict[str, dict[str, Any]]:
    """The settings of the loggers of W&B, by their keys."""
    loggers = config.settings["logger"]
    return {
        name: node
        for name, node in loggers.items()
        if str(node["_target_"]).endswith(".WandbLogger")
    }


@cache
def _warn(message: str, folder: Path) -> None:
    logger.warning("%s", message)


def new_folder() -> Path | None:
    """The folder that Hydra made for this run; None where there is none or an override names it."""
    if not HydraConfig.initialized():
        return None
    hydra = HydraConfig.get()
    is_named = any("hydra.run.dir" in line for line in hydra.overrides.hydra)
    return None if is_named else Path(hydra.runtime.output_dir)


def check_environment_id(environment_id: str, choice: str) -> None:
    """Raises ConfigError where `env.id` is not that of the option `choice` of conf/env.

    An option's facts (scores, reward, what ends an episode) are facts of its own id.
    """
    ids = _environment_ids()
    own = ids.get(choice)
    if own in (None, environment_id):  # None: another project's option, or env=gymnasium
        return
    commands = [f"env={name}" for name in ids if ids[name] == environment_id]
    commands.append(f"env=gymnasium env.id={environment_id}, which knows no facts")
    raise ConfigError(
        f"env.id={environment_id}: env={choice} holds the facts of {own}, such as its scores and "
        f"its reward. Give {', or '.join(commands)}."
    )


@cache
def _environment_ids() -> dict[str, Any]:
    """The `env.id` of each option of conf/env; cached, since a sweep checks each job."""
    files = sorted((CONFIG_FOLDER / "env").glob("*.yaml"))
    options: dict[str, Any] = {file.stem: OmegaConf.load(file) for file in files}
    return {name: option.get("id") for name, option in options.items()}


def check_no_empty_mapping(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raises ConfigError for an override whose empty mapping is merged, which changes nothing."""
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        for name in _empty_mappings(override.key_or_group, override.value()):
            if OmegaConf.select(config, name):
                raise ConfigError(
                    f"{name}={{}}: changes nothing, since a mapping is merged into the one there. "
                    f"Give the keys to change; ~{name}.KEY removes one."
                )


def _empty_mappings(name: str, value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    inner = [found for key in value for found in _empty_mappings(f"{name}.{key}", value[key])]
    return inner if value else [name]


def check_no_wandb_agent() -> None:
    """Raises ConfigError under `wandb agent`: all jobs would be one run in W&B.

    Also for a single job, so that a command does not depend on the number of its values.
    """
    run_id = wandb_agent_run_id()
    if run_id is not None:
        raise ConfigError(
            f"WANDB_RUN_ID={run_id}: `wandb agent` gives this id to all that its command starts, "
            "so the jobs of a sweep would share one W&B run. Start one run at a time, without -m."
        )


def run_info_from_provenance(
    folder: Path,
    provenance: Mapping[str, Any],
    typed: Sequence[str],
    owns_terminal: bool = True,
) -> RunInfo:
    """RunInfo of the saved run in `folder`; `typed` are the overrides of this command line.

    Raises ConfigError where the run's variables are not set.
    """
    environment = provenance.get("environment", {})
    for name, value in environment.items():  # a saved file sets none itself
        if os.environ.get(name) != value:
            raise ConfigError(
                f"{name}={os.environ.get(name)!r}: the run was started with {value!r} "
                "(hydra.job.env_set), which may change its results. Set the variable and repeat."
            )
    run_id = provenance.get("run_id") or ""
    info = RunInfo(
        folder=folder.absolute(),
        name=provenance.get("name") or folder.name,
        group=provenance.get("group"),
        choices={"model": "", "planner": ""} | provenance.get("choices", {}),
        trust=trusted_packages(typed),
        config_source="saved",
        typed=typed_settings(typed),
        overrides=tuple(provenance.get("overrides", ())),
        environment=environment,
        owns_terminal=owns_terminal,
    )
    # W&B makes the id part of a path.
    return replace(info, run_id=run_id) if re.fullmatch("[0-9a-z]{1,64}", run_id) else info


def read_run(folder: Path, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
    """A saved run's config and its provenance. Of the command line's overrides, `trust` counts.

    Raises ConfigError for a run of an older version, whose settings have other names.
    """
    provenance = read_provenance(folder)
    if provenance and provenance.get("format") != FORMAT:
        commit = (provenance.get("git") or {}).get("commit") or "unknown"
        raise ConfigError(
            f"{folder}: saved by an older version of mbrl (commit {commit}), whose settings have "
            "other names. Check out that commit to use the run."
        )
    config = load_saved_config(folder / "config.yaml", trusted_packages(overrides))
    devices = [device["platform"] for device in provenance.get("devices", ())]
    if devices[:1] == ["cpu"]:  # JAX prefers any other kind of device by itself
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return config, provenance
