"""Logging of a run, which Hydra configures unless the run is started otherwise."""

import logging
import sys
from pathlib import Path

FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"  # Hydra's


def log_to(folder: Path) -> None:
    """Append all log messages to the folder's run.log, and print warnings to stderr as well."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    file = logging.FileHandler(folder / "run.log", encoding="utf-8")
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[file, terminal], force=True)


def quiet_libraries() -> None:
    """Keep what libraries find worth noting out of run.log, unless hydra.verbose asks for it."""
    if logging.getLogger().level > logging.DEBUG:
        for name in ("jax", "matplotlib"):
            library = logging.getLogger(name)
            if library.level == logging.NOTSET:
                library.setLevel(logging.WARNING)
