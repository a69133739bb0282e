"""run.log, for runs that Hydra, which otherwise sees to it, does not start."""

import logging
import sys
from pathlib import Path

FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"  # Hydra's


def log_to(folder: Path) -> None:
    """Lets what is logged go to the end of the folder's run.log, and warnings to stderr too."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [
        logging.FileHandler(folder / "run.log", encoding="utf-8"),
        terminal,
    ]
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=handlers, force=True)
