"""run.log of runs that are not started by Hydra, which otherwise configures logging."""

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
