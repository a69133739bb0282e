"""A run's folder is checked before Hydra writes its first file there."""

import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mbrl.config.hydra_errors import as_sentence
from mbrl.errors import ConfigError, CorruptRun
from mbrl.regular_files import check_entries


class OutputFolderCheck(Callback):
    """Hydra's callback in conf/config.yaml. (A sweep checks its own folder.)"""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Exit with a sentence where the folder of the run holds a link or a pipe."""
        try:
            check_output_folder(config)
        except (ConfigError, CorruptRun, OSError) as error:
            # Hydra turns other exceptions of callbacks into warnings.
            sys.exit(f"Error: {as_sentence(error, ())}")
        except OmegaConfBaseException:  # no folder: Hydra reports it next
            pass


def check_output_folder(config: DictConfig) -> None:
    """Raises CorruptRun where hydra.run.dir holds anything but regular files and folders.

    The same for Hydra's subfolder there. Raises ConfigError for one that could lie elsewhere.
    """
    hydra = HydraConfig.instance()
    before, hydra.cfg = hydra.cfg, None
    try:
        hydra.set_config(config)  # the folder's name refers to the choices
        subfolder = config.hydra.output_subdir
        if subfolder is not None:
            check_name("hydra.output_subdir", subfolder, "Leave it out.")
        check_entries(Path(config.hydra.run.dir), subfolder or ".hydra")
    finally:
        hydra.cfg = before


def check_name(setting: str, name: str, remedy: str) -> None:
    """Raises ConfigError for a folder's name that leads out of the folder in which it lies."""
    if name in ("", "..") or Path(name).name != name:
        raise ConfigError(f"{setting}={name}: must be a name without '/'. {remedy}")
