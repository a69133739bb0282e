"""A run's folder is checked before Hydra writes its first file there."""

import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mbrl.config.hydra_errors import as_sentence
from mbrl.errors import CorruptRun
from mbrl.regular_files import check_entries


class OutputFolderCheck(Callback):
    """Hydra's callback in conf/config.yaml. (A sweep checks its own folder.)"""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Exit with a sentence where the folder of the run holds a link or a pipe."""
        try:
            check_output_folder(config)
        except (CorruptRun, OSError) as error:
            # Hydra turns other exceptions of callbacks into warnings.
            sys.exit(f"Error: {as_sentence(error, ())}")
        except OmegaConfBaseException:  # no folder: Hydra reports it next
            pass


def check_output_folder(config: DictConfig) -> None:
    """Raises CorruptRun where hydra.run.dir holds anything but regular files and folders."""
    hydra = HydraConfig.instance()
    before, hydra.cfg = hydra.cfg, None
    try:
        hydra.set_config(config)  # the folder's name refers to the choices
        check_entries(Path(config.hydra.run.dir))
    finally:
        hydra.cfg = before
