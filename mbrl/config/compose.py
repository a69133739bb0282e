"""Composing a config from conf/ in Python or a notebook, as `run.py` does from the command line."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from threading import RLock

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mbrl.config.hydra_errors import as_sentence
from mbrl.config.hydra_guard import guarded_command_line
from mbrl.config.hydra_internals import config_loader, is_of_composition, named_as_run
from mbrl.errors import ConfigError

_lock = RLock()  # Hydra's state while it composes is the whole process's
HYDRA = "mbrl.hydra"  # of the cache in which Hydra's settings travel with a config


def compose(
    overrides: Sequence[str] = (), config_dir: str | os.PathLike[str] | None = None
) -> DictConfig:
    """The config that `python run.py --config-dir=<config_dir> <overrides>` runs.

    `config_dir` holds config files of your own, in folders named as those of conf/. Raises
    ConfigError for overrides that cannot be composed, and where a file of `config_dir` sets what
    only the overrides may. A Hydra application that calls this keeps its own state.
    """
    if isinstance(overrides, str):
        raise ConfigError(f'overrides="{overrides}": must be a list. Write ["{overrides}"].')
    words = [str(word) for word in overrides]
    folder = None if config_dir is None else _checked(Path(config_dir).expanduser())
    options = [] if folder is None else [f"--config-dir={folder}"]
    try:
        with _lock, named_as_run(), guarded_command_line([*options, "--", *words]):
            _refuse_sweeps(words)
            loader = config_loader(config_dir=folder)
            # As Hydra itself does for a single run.
            config = loader.load_configuration("config", [*words, "hydra.mode=RUN"], RunMode.RUN)
    except Exception as error:
        known = (HydraException, OmegaConfBaseException, OSError, YAMLError)
        if not isinstance(error, known) and not is_of_composition(error):
            raise
        raise ConfigError(as_sentence(error, words)) from None
    hydra = OmegaConf.masked_copy(config, "hydra")
    with open_dict(config):
        del config.hydra
    # Copies and pickles of a config keep its cache, so it cannot run with another one's settings.
    OmegaConf.get_cache(config)[HYDRA] = {HYDRA: hydra}
    return config


def with_hydra(config: DictConfig) -> DictConfig | None:
    """A copy with Hydra's settings under `hydra`; None where `compose` did not make the config."""
    kept = OmegaConf.get_cache(config).get(HYDRA)
    if kept is None:
        return None
    copied = copy.deepcopy(config)
    with open_dict(copied):
        copied.hydra = kept[HYDRA].hydra
    return copied


def _checked(folder: Path) -> str:
    if not folder.is_dir():
        raise ConfigError(
            f"config_dir={folder}: not a folder. Name one that holds config files in folders such "
            f"as planner/; the working directory is {Path.cwd()}."
        )
    return str(folder)


def _refuse_sweeps(words: Sequence[str]) -> None:
    for override in OverridesParser.create().parse_overrides(list(words)):
        if override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line}: several values are a sweep, which the command line runs. "
                "Compose and run one config for each value."
            )
