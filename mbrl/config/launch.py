"""RunInfo of new and saved runs."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mbrl.config.allowlist import load_saved_config, trusted_packages
from mbrl.errors import ConfigError
from mbrl.run_info import RunInfo
from mbrl.runs.reader import read_provenance


def run_info_from_hydra(config: DictConfig) -> RunInfo:
    """The run_info_from_hydra of the run with this config, which Hydra, or `compose`, has prepared last."""
    settings = HydraConfig.get()
    sweep = settings.mode == RunMode.MULTIRUN
    composed_only = OmegaConf.is_missing(settings.runtime, "output_dir")
    folder = settings.run.dir if composed_only else settings.runtime.output_dir
    choices = {
        group: str(choice)
        for group, choice in settings.runtime.choices.items()
        if "/" not in group and choice
    }
    return RunInfo(
        folder=Path(folder).absolute(),
        name=f"{choices['env']}_{choices['model']}_{choices['planner']}_seed{config.seed}",
        group="/".join(Path(settings.sweep.dir).parts[-2:]) if sweep else None,
        choices=choices,
        trust=trusted_packages(settings.overrides.task),
        overrides=tuple(settings.overrides.task),
        environment={str(name): str(value) for name, value in settings.job.env_set.items()},
    )


def run_info_from_provenance(
    folder: Path, kept: Mapping[str, Any], trust: tuple[str, ...], owns_terminal: bool = True
) -> RunInfo:
    """The run_info_from_hydra of the run in `folder` that is taken up, by what its provenance.json has kept of the first."""
    choices = {str(group): str(choice) for group, choice in dict(kept.get("choices") or {}).items()}
    environment = {
        str(name): str(value) for name, value in dict(kept.get("environment") or {}).items()
    }
    _check_environment(environment)
    started = RunInfo(
        folder=folder.absolute(),
        name=str(kept.get("name") or folder.name),
        group=None if kept.get("group") is None else str(kept["group"]),
        choices={"model": "", "planner": ""} | choices,
        trust=trust,
        overrides=tuple(str(override) for override in kept.get("overrides") or ()),
        environment=environment,
        owns_terminal=owns_terminal,
    )
    run_id = str(kept.get("run_id"))
    # It becomes part of a path.
    return replace(started, run_id=run_id) if re.fullmatch("[0-9a-z]{1,64}", run_id) else started


def _check_environment(variables: Mapping[str, str]) -> None:
    """Raises ConfigError where a variable that the run was started with is not set: it may change bits. A saved file sets none itself."""
    for name, value in variables.items():
        if os.environ.get(name) != value:
            raise ConfigError(
                f"The run was started with {name}={value!r} (hydra.job.env_set), and goes on only with it: set that variable, "
                "if you trust who set it, and give the same command again."
            )


def read_run(folder: Path, overrides: Sequence[str]) -> tuple[DictConfig, dict, tuple[str, ...]]:
    """A run's config, its provenance, and the packages that the command line trusts."""
    trust = trusted_packages(overrides)
    config = load_saved_config(folder / "config.yaml", trust)
    kept = read_provenance(folder)
    _restore_platform(kept)
    return config, kept, trust


def _restore_platform(kept: dict) -> None:
    """Computes on the kind of device that the run was computed on, where JAX was not told otherwise."""
    platforms = [
        str(device.get("platform"))
        for device in kept.get("devices") or ()
        if isinstance(device, dict)
    ]
    if platforms[:1] == ["cpu"]:  # any other kind JAX prefers by itself, where it is there
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
