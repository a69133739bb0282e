"""Reading run folders, including those of runs that are active or were killed."""

import fcntl
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mbrl.errors import CorruptRun
from mbrl.regular_files import MAX_METRICS_BYTES, open_regular, read_regular
from mbrl.runs.schemas import PROVENANCE_SCHEMA, ROW_SCHEMA, SUMMARY_SCHEMA, what_is_wrong

logger = logging.getLogger(__name__)


def read_json(file: Path, schema: TypeAdapter, remedy: str) -> Any:
    """The content of a JSON file of a type. Raises FileNotFoundError, or CorruptRun for others."""
    try:
        return schema.validate_json(read_regular(file))
    except ValidationError as error:
        raise CorruptRun(f"{file} is damaged ({what_is_wrong(error)}). {remedy}.") from error


def read_metrics(
    path: str | Path, name: str = "metrics.jsonl", having: str = ""
) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl, oldest first; empty before the first row is logged.

    Values that were not finite are None. `path` is the run folder; `name` can be another file of
    rows, metrics.superseded.jsonl. With `having`, only rows with this metric are parsed, at a tenth
    of the cost; of other lines only the first and last character are checked.

    Raises CorruptRun for a line that is not a row.
    """
    file, rows = Path(path) / name, []
    for number, line in enumerate(complete_lines(file), start=1):
        if having.encode() not in line and line.startswith(b"{") and line.endswith(b"}"):
            continue
        try:
            row = ROW_SCHEMA.validate_json(line)
        except ValidationError as error:
            raise CorruptRun(
                f"{file}: line {number} is not a row of metrics ({what_is_wrong(error)}), so the "
                "file is damaged. Remove that line to read the rest."
            ) from error
        if not having or having in row:
            rows.append(row)
    return rows


def complete_lines(file: Path) -> list[bytes]:
    """The lines of a file of rows, or none if it is missing.

    A last one without its end, as a killed run leaves it, is left out with a warning.
    """
    try:
        *lines, rest = read_regular(file, MAX_METRICS_BYTES).split(b"\n")
    except FileNotFoundError:
        return []
    if rest:
        logger.warning(
            "%s: line %d is cut off and was left out; the run was killed while writing it.",
            file,
            len(lines) + 1,
        )
    return lines


def read_summary(path: str | Path) -> dict[str, Any]:
    """The summary.json of a run folder: `status`, `env_steps`, `wall_seconds`, final metrics.

    The summary of a failed run has an `error`, too. Raises FileNotFoundError if there is no
    summary, CorruptRun if it is damaged.
    """
    try:
        return read_json(
            Path(path) / "summary.json", SUMMARY_SCHEMA, "Remove it, then resume the run"
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is not the folder of a run: it has no summary.json. Check the path."
        ) from None


def read_provenance(path: str | Path) -> dict[str, Any]:
    """The provenance.json of a run folder; empty if missing, as in a run that was killed early.

    Raises CorruptRun if it is damaged.
    """
    try:
        file = Path(path) / "provenance.json"
        return read_json(file, PROVENANCE_SCHEMA, "Remove it to continue without it")
    except FileNotFoundError:
        return {}


def is_running(path: str | Path) -> bool:
    """Whether a process is running the run in the folder `path`, that is, holds its lock."""
    try:
        with open_regular(Path(path) / ".lock") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def is_completed(path: str | Path) -> bool:
    """Whether the run in the folder `path` has the status `completed`."""
    return status(path) == "completed"


def status(path: str | Path) -> str:
    """The status of the run in the folder `path`.

    It is the summary's, except that a run that is recorded as `running` without a process is
    `killed`, and one without a summary is `never started`.
    """
    if not (Path(path) / "summary.json").exists():
        return "never started"
    recorded: str = read_summary(path)["status"]
    return "killed" if recorded == "running" and not is_running(path) else recorded


def final_values(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The last value of each metric over all rows."""
    final: dict[str, Any] = {}
    for row in rows:
        final.update(row)
    return final
