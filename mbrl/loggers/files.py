"""metrics.jsonl in the run's folder: the primary record of the metrics."""

import json
from collections.abc import Mapping
from typing import Any

from mbrl.loggers.base import AbstractLogger
from mbrl.regular_files import errors_naming, open_regular
from mbrl.run_info import RunInfo


class FilesLogger(AbstractLogger):
    """Appends each row to metrics.jsonl as one line of JSON.

    A row is written at once, so a killed run keeps all its rows.
    """

    def __init__(self, run_info: RunInfo):
        self._path = run_info.folder / "metrics.jsonl"

    def log(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, allow_nan=False)
        # Rows are few. Opening the file for each one needs no flushing and leaves nothing to close.
        with errors_naming(self._path), open_regular(self._path, "ab") as file:
            file.write(f"{line}\n".encode())

    def finish(self, status: str) -> None:
        pass
