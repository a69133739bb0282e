"""The configs on disk, so that every new one is tested, and small parts built from them."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from mbrl.config.compose import compose, with_hydra
from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.launch import run_info_from_hydra
from mbrl.config.resolve import ResolvedConfig, resolve
from mbrl.run_info import RunInfo

# Upper bounds of these settings, in any part of a config.
SMALL = {
    "width": 8,
    "depth": 1,
    "num_members": 2,
    "horizon": 4,
    "population_size": 16,
    "num_elites": 4,
    "num_iterations": 2,
    "num_simulations": 8,
    "max_depth": 4,
    "num_actions": 4,
}

ACTION_KINDS = ("discrete", "box", "multi_discrete")


def point_mass_with(actions: str) -> list[str]:
    """The overrides that select the point mass with a kind of action."""
    return ["env=point_mass", f"env.kwargs.actions={actions}"]


def options(group: str) -> list[str]:
    """The options of a config group: the names of its files."""
    return sorted(path.stem for path in Path(CONFIG_FOLDER, group).glob("*.yaml"))


def resolved(*overrides: str) -> ResolvedConfig:
    """The resolved config of these overrides."""
    return resolve(compose(overrides))


def resolved_small(*overrides: str) -> ResolvedConfig:
    """The same with small networks, populations and searches."""
    return resolve(small_config(*overrides))


def new_run_info(config: DictConfig, folder: str | Path = "outputs/run") -> RunInfo:
    """RunInfo of a run of a composed config, in a folder that does not exist yet."""
    before, prepared = HydraConfig.instance().cfg, with_hydra(config)
    prepared.hydra.runtime.output_dir = str(folder)
    HydraConfig.instance().set_config(prepared)
    try:
        return run_info_from_hydra(config)
    finally:
        HydraConfig.instance().cfg = before


def small_config(*overrides: str) -> DictConfig:
    """A composed config with small networks, populations and searches."""
    config = compose(overrides)
    _shrink(config)
    return config


def _shrink(node: DictConfig) -> None:
    for key in node:
        value = None if OmegaConf.is_missing(node, key) else node[key]
        if isinstance(value, DictConfig):
            _shrink(value)
        elif key in SMALL and value > SMALL[key]:
            node[key] = SMALL[key]
