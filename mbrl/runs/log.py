"""Logging of a run, which Hydra configures unless the run is started otherwise."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mbrl.errors import printable_lines

FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"  # Hydra's


class Formatter(logging.Formatter):
    """Makes messages printable, which may hold text of others, for terminals and run.log.

    All lines but the first are indented: none can be taken for another message.
    """

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record)).replace("\n", "\n    ")


def log_to(folder: Path) -> None:
    """Append all log messages to the folder's run.log, and print warnings to stderr as well."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    file = logging.FileHandler(folder / "run.log", encoding="utf-8")
    for handler in (file, terminal):
        handler.setFormatter(Formatter(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[file, terminal], force=True)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """In the block, keep notices of libraries out of run.log, unless hydra.verbose is set."""
    libraries = [logging.getLogger(name) for name in ("jax", "matplotlib")]
    is_verbose = logging.getLogger().level <= logging.DEBUG
    quieted = [each for each in libraries if each.level == logging.NOTSET and not is_verbose]
    for library in quieted:
        library.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for library in quieted:
            library.setLevel(logging.NOTSET)


@contextmanager
def logged_to(folder: Path) -> Iterator[None]:
    """In the block, also append messages to the folder's run.log, from the level INFO on.

    The program's own handlers receive what they did before. Where it has none, warnings are printed
    to stderr, as outside the block.
    """
    root, file = logging.getLogger(), logging.FileHandler(folder / "run.log", encoding="utf-8")
    level, others = root.level, list(root.handlers)
    file.setFormatter(Formatter(FORMAT))
    file.setLevel(logging.INFO)

    def as_before(record: logging.LogRecord) -> bool:
        return record.levelno >= level or _has_own_level(logging.getLogger(record.name))

    for handler in others:
        handler.addFilter(as_before)
    added: list[logging.Handler] = [file]
    if not others and logging.lastResort:
        added.append(logging.StreamHandler(sys.stderr))
        added[-1].setLevel(logging.lastResort.level)
        added[-1].setFormatter(Formatter())
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


def _has_own_level(logger: logging.Logger) -> bool:
    """Whether the logger has its level from itself or a parent below root."""
    while logger.parent is not None and logger.level == logging.NOTSET:
        logger = logger.parent
    return logger.parent is not None
