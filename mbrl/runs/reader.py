"""Reading run folders, including those of runs that are active or were killed."""

import fcntl
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mbrl.errors import CorruptRun, one_line

# The types of the entries of a provenance.json that are used. The file can be anyone's.
PROVENANCE_TYPES = {
    "choices": dict,
    "command": list,
    "cores": dict,
    "devices": list,
    "environment": dict,
    "git": dict,
    "overrides": list,
    "packages": dict,
    "resumes": list,
    "threads": dict,
}

logger = logging.getLogger(__name__)


def read_metrics(
    path: str | Path, name: str = "metrics.jsonl", having: str = ""
) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl, oldest first; empty before the first row is logged.

    Values that were not finite are None. `path` is the run folder; `name` can be another file of
    rows, metrics.superseded.jsonl. With `having`, only rows with this metric are parsed, at a tenth
    of the cost; of other lines only the first and last character are checked.

    A last line that is cut off, as a killed run leaves it, is dropped with a warning. Raises
    CorruptRun for any other line that is not a JSON object.
    """
    file = Path(path) / name
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        if having not in line and line.startswith("{") and line.endswith("}"):
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if isinstance(row, dict):
            if not having or having in row:
                rows.append(row)
        elif number == len(lines):
            logger.warning(
                "%s: line %d is cut off and was left out; the run was killed while writing it.",
                file,
                number,
            )
        else:
            raise CorruptRun(
                f"{file}: line {number} is not a JSON object, so the file is damaged. "
                "Remove that line to read the rest."
            )
    return rows


def read_summary(path: str | Path) -> dict[str, Any]:
    """The summary.json of a run folder: `status`, `env_steps`, `wall_seconds`, final metrics.

    The summary of a failed run has an `error`, too. Raises FileNotFoundError if there is no
    summary, CorruptRun if it is damaged.
    """
    file = Path(path) / "summary.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CorruptRun(
            f"{file} is damaged ({one_line(error)}). Remove it, then resume the run."
        ) from error
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is not the folder of a run: it has no summary.json. Check the path."
        ) from None


def read_provenance(path: str | Path) -> dict[str, Any]:
    """The provenance.json of a run folder; empty if missing, as in a run that was killed early.

    Raises CorruptRun if it is damaged.
    """
    file = Path(path) / "provenance.json"
    if not file.exists():
        return {}
    try:
        provenance = dict(json.loads(file.read_text(encoding="utf-8")))
        for name, kind in PROVENANCE_TYPES.items():
            value: Any = provenance.get(name)
            valid = isinstance(value, kind | None)
            if valid and value and name in ("devices", "resumes"):
                valid = all(isinstance(entry, dict) for entry in value)
            if not valid:
                raise TypeError(f"{name} has the wrong type")
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptRun(
            f"{file} is damaged ({one_line(error)}). Remove it to continue without it."
        ) from error
    return provenance


def is_running(path: str | Path) -> bool:
    """Whether a process is running the run in the folder `path`, that is, holds its lock."""
    file = Path(path) / ".lock"
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_completed(path: str | Path) -> bool:
    """Whether the run in the folder `path` has the status `completed`."""
    has_summary = (Path(path) / "summary.json").exists()
    return has_summary and read_summary(path).get("status") == "completed"


def status(path: str | Path) -> str:
    """The status of the run in the folder `path`.

    It is the summary's, except that a run that is recorded as `running` without a process is
    `killed`, and one without a summary is `never started`.
    """
    if not (Path(path) / "summary.json").exists():
        return "never started"
    recorded = str(read_summary(path).get("status"))
    return "killed" if recorded == "running" and not is_running(path) else recorded


def final_values(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The last value of each metric over all rows."""
    final: dict[str, Any] = {}
    for row in rows:
        final.update(row)
    return final
