"""run.log, for runs that Hydra, which otherwise sees to it, does not start."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def log_of_this_thread_to(folder: Path) -> Iterator[None]:
    """Lets what this thread logs in the block go to the end of the folder's run.log: each of several runs in a process has its own."""
    root, thread = logging.getLogger(), threading.get_ident()
    handler = logging.FileHandler(folder / "run.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(lambda record: record.thread == thread)
    root.addHandler(handler)
    root.setLevel(min(root.level, logging.INFO))  # as it is under Hydra, and after `log_to`
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
