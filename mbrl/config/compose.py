"""Composing a config from conf/ in Python or a notebook, as `run.py` does from the command line."""

from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from mbrl.runs.folder import safe_name

PACKAGE = Path(__file__).parent.parent
# Beside the package in a checkout; inside it in a wheel.
CONFIG_FOLDER = next(path for path in (PACKAGE.parent / "conf", PACKAGE / "conf") if path.is_dir())

OmegaConf.register_new_resolver("safe_name", safe_name, replace=True)


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The config that `python run.py <overrides>` runs."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        config = hydra.compose("config", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    OmegaConf.set_struct(config, False)
    del config.hydra
    OmegaConf.set_struct(config, True)
    return config
