"""metrics.jsonl in the run's folder: the primary record of the metrics."""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from mbrl.loggers.base import AbstractLogger
from mbrl.regular_files import MAX_METRICS_BYTES, errors_naming, open_regular, read_regular
from mbrl.run_info import RunInfo

logger = logging.getLogger(__name__)


class FilesLogger(AbstractLogger):
    """Appends each row to metrics.jsonl as one line of JSON.

    A row is written at once, so a killed run keeps all its rows.
    """

    def __init__(self, run_info: RunInfo):
        self._path = run_info.folder / "metrics.jsonl"
        # Cut off what follows the last newline: part of a row that a killed run was writing.
        content = read_regular(self._path, MAX_METRICS_BYTES) if self._path.exists() else b""
        length = content.rfind(b"\n") + 1
        if length < len(content):
            logger.warning(
                "%s ended in an incomplete row, which was removed: "
                "the run was killed while writing it.",
                self._path,
            )
            os.truncate(self._path, length)

    def log(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, allow_nan=False)
        # Rows are few. Opening the file for each one needs no flushing and leaves nothing to close.
        with errors_naming(self._path), open_regular(self._path, "ab") as file:
            file.write(f"{line}\n".encode())

    def finish(self, status: str) -> None:
        pass
