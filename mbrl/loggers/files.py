"""metrics.jsonl: the record of truth, in the run's folder."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbrl.loggers.base import AbstractLogger, finite_or_none

logger = logging.getLogger(__name__)


class FilesLogger(AbstractLogger):
    """Writes a row as one line of JSON, at once, so that a run that is killed keeps all its rows; NaN is null."""

    def __init__(self, folder: str | Path, **unused: Any):
        self._path = Path(folder) / "metrics.jsonl"
        _drop_unfinished_line(self._path)

    def log(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(finite_or_none(row), allow_nan=False)
        # Rows are few: a file that is never left open needs no flushing, and nobody to close it where a run cannot start.
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def finish(self, status: str) -> None:
        pass


def _drop_unfinished_line(path: Path) -> None:
    """Cuts off what follows the last newline: half a row of a run that was killed, which would spoil the next one."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        logger.warning(
            "%s ended in half a row, which was cut off; the run was killed while it wrote it.", path
        )
        os.truncate(path, whole)
