"""Logging of a run, which Hydra configures unless the run is started otherwise."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def logged_to(folder: Path) -> Iterator[None]:
    """In the block, also append messages to the folder's run.log, from the level INFO on.

    The program's own handlers receive what they did before. Where it has none, warnings are printed
    to stderr, as outside the block.
    """
    root, file = logging.getLogger(), logging.FileHandler(folder / "run.log", encoding="utf-8")
    level, others = root.level, list(root.handlers)
    file.setFormatter(logging.Formatter(FORMAT))
    file.setLevel(logging.INFO)

    def as_before(record: logging.LogRecord) -> bool:
        return record.levelno >= level

    for handler in others:
        handler.addFilter(as_before)
    added: list[logging.Handler] = [file]
    if not others and logging.lastResort:
        added.append(logging.lastResort)
    for handler in added:
        root.addHandler(handler)
    root.setLevel(min(level, logging.INFO))
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in added:
            root.removeHandler(handler)
        for handler in others:
            handler.removeFilter(as_before)
        file.close()
