"""RunInfo of new runs, from Hydra, and of saved runs, from provenance.json. Imports no JAX."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mbrl.config.allowlist import load_saved_config, trusted_packages
from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.errors import ConfigError
from mbrl.run_info import FORMAT, RunInfo, wandb_agent_run_id
from mbrl.runs.reader import read_provenance


def run_info_from_hydra(config: DictConfig) -> RunInfo:
    """RunInfo of the run that Hydra has prepared. Raises ConfigError where it has prepared none."""
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
    return RunInfo(
        folder=Path(hydra.runtime.output_dir).absolute(),
        name=f"{choices['env']}_{choices['model']}_{choices['planner']}_seed{config.seed}",
        group="/".join(Path(hydra.sweep.dir).parts[-2:]) if is_job else None,
        choices=choices,
        trust=trusted_packages(hydra.overrides.task),
        overrides=tuple(hydra.overrides.task),
        environment={str(name): str(value) for name, value in hydra.job.env_set.items()},
    )


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
    files = sorted((CONFIG_FOLDER / "env").glob("*.yaml"))
    options: dict[str, Any] = {file.stem: OmegaConf.load(file) for file in files}
    ids = {name: option.get("id") for name, option in options.items()}
    own = ids.get(choice)
    if own in (None, environment_id):  # None: another project's option, or env=gymnasium
        return
    commands = [f"env={name}" for name in ids if ids[name] == environment_id]
    commands.append(f"env=gymnasium env.id={environment_id}, which knows no facts")
    raise ConfigError(
        f"env.id={environment_id}: env={choice} holds the facts of {own}, such as its scores and "
        f"its reward. Give {', or '.join(commands)}."
    )


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
    trust: tuple[str, ...],
    owns_terminal: bool = True,
) -> RunInfo:
    """RunInfo of the saved run in `folder`. Raises ConfigError where its variables are not set."""
    environment = _strings(provenance.get("environment"))
    for name, value in environment.items():  # a saved file sets none itself
        if os.environ.get(name) != value:
            raise ConfigError(
                f"{name}={os.environ.get(name)!r}: the run was started with {value!r} "
                "(hydra.job.env_set), which may change its results. Set the variable and repeat."
            )
    group, run_id = provenance.get("group"), str(provenance.get("run_id"))
    info = RunInfo(
        folder=folder.absolute(),
        name=str(provenance.get("name") or folder.name),
        group=None if group is None else str(group),
        choices={"model": "", "planner": ""} | _strings(provenance.get("choices")),
        trust=trust,
        overrides=tuple(str(override) for override in provenance.get("overrides") or ()),
        environment=environment,
        owns_terminal=owns_terminal,
    )
    # W&B makes the id part of a path.
    return replace(info, run_id=run_id) if re.fullmatch("[0-9a-z]{1,64}", run_id) else info


def read_run(
    folder: Path, overrides: Sequence[str]
) -> tuple[DictConfig, dict[str, Any], tuple[str, ...]]:
    """A saved run's config, its provenance, and the packages that the command line trusts.

    Raises ConfigError for a run of an older version, whose settings have other names.
    """
    trust = trusted_packages(overrides)
    provenance = read_provenance(folder)
    if provenance and provenance.get("format") != FORMAT:
        commit = (provenance.get("git") or {}).get("commit") or "unknown"
        raise ConfigError(
            f"{folder}: saved by an older version of mbrl (commit {commit}), whose settings have "
            "other names. Check out that commit to use the run."
        )
    config = load_saved_config(folder / "config.yaml", trust)
    devices = [each.get("platform") for each in provenance.get("devices") or ()]
    if devices[:1] == ["cpu"]:  # JAX prefers any other kind of device by itself
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return config, provenance, trust


def _strings(mapping: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in dict(mapping or {}).items()}
