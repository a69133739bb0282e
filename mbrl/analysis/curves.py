"""Learning curves of many runs as one tidy table: a row per evaluation."""

import csv
import json
import logging
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mbrl.analysis.compare import read_runs
from mbrl.analysis.comparison_table import quoted
from mbrl.analysis.grouping import ABSENT, infer_choices
from mbrl.analysis.summary import Run
from mbrl.errors import printable
from mbrl.runs.columns import Columns
from mbrl.runs.schemas import MAX_NUMBER

FIRST = ("folder", "group", "environment", "model", "planner", "seed", "status")
LAST = ("env_steps", "wall_seconds", "evaluation/return_mean")

Folder = str | os.PathLike[str]

logger = logging.getLogger(__name__)


def load_metrics(folders: Folder | Iterable[Folder]) -> Columns:
    """The learning curves of the runs at or below `folders`: runs, sweeps, or what contains them.

    One row per evaluation, with the columns FIRST, the settings that differ between runs, and LAST.
    Warns of runs that cannot be read, which are left out. As for `compare`, so are those in the
    folders `reproductions` and `comparisons`, unless named. Raises ConfigError if there is no run.
    """
    paths = [folders] if isinstance(folders, str | os.PathLike) else folders
    found = read_runs([Path(path).expanduser() for path in paths])
    for entry in found.unreadable:
        # The error of a failed run need not name its folder.
        folder = f"{printable(str(entry.folder))}: " if entry.status == "failed" else ""
        logger.warning("Left out: %s%s", folder, entry.reason)
    return learning_curves(found.runs, found.grouping.names)


def learning_curves(runs: Sequence[Run], names: Sequence[str]) -> Columns:
    """The same table of runs that are read already. `names` are those of their `values`."""
    rows: list[dict[str, Any]] = []
    settings = [name for name in names if name not in (*FIRST, *LAST)]
    for run, choices in zip(runs, infer_choices([run.record for run in runs]), strict=True):
        record = run.record
        facts = (
            str(record.folder),
            run.label,
            record.environment,
            choices.get("model"),
            choices.get("planner"),
            record.seed,
            record.status,
        )
        given = dict(zip(names, map(_value, run.values), strict=True))
        shared = dict(zip(FIRST, facts, strict=True)) | {name: given[name] for name in settings}
        for evaluation in zip(run.steps.astype(int), run.seconds, run.returns, strict=True):
            values = (number.item() for number in evaluation)
            rows.append(shared | dict(zip(LAST, values, strict=True)))
    return Columns.from_rows(rows, names=[*FIRST, *settings, *LAST])


def write_curves(columns: Columns, path: Path) -> None:
    """Write a table to a new file; unknown numbers are empty."""
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(map(quoted, columns))
        for row in zip(*(column.tolist() for column in columns.values()), strict=True):
            writer.writerow(map(_cell, row))


def _value(text: str) -> Any:
    """A setting as a number or truth value, where it is one; None for null and where it is absent.

    Lists and mappings stay text.
    """
    if text == ABSENT or text.startswith(("[", "{")):
        return None if text == ABSENT else text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text if is_number and not abs(value) <= MAX_NUMBER else value


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else repr(value)
