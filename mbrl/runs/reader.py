"""Reading run folders: also those of runs that still live, or died."""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl, oldest first; none where nothing was logged yet. What was not finite is None.

    `path` is the run folder. A last line that is cut off, as a killed run leaves it, is dropped with a warning. Raises
    ValueError for any other line that is no JSON object.
    """
    file = Path(path) / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        row = _parsed(line)
        if row is not None:
            rows.append(row)
        elif number == len(lines):
            logger.warning("%s: line %d is cut off and was left out; the run was killed while it wrote it.", file, number)
        else:
            raise ValueError(f"{file}: line {number} is no JSON object, so the file was damaged; remove that line to read the rest.")
    return rows


def read_summary(path: str | Path) -> dict[str, Any]:
    """The summary.json of the run folder `path`: `status`, `env_steps`, `wall_seconds`, final metrics, `error` if it failed.

    Raises FileNotFoundError where there is none, since then it is no run folder.
    """
    file = Path(path) / "summary.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is not the folder of a run, which has a summary.json; check the path.") from None


def final_values(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The last value of each metric, whichever row it stood in."""
    final: dict[str, Any] = {}
    for row in rows:
        final.update(row)
    return final


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None
