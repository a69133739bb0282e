"""Reading run folders: also those of runs that still live, or died."""

import fcntl
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class CorruptRun(ValueError):
    """A file of a run's folder that is not what a run writes, in one sentence."""


def read_metrics(
    path: str | Path, name: str = "metrics.jsonl", having: str = ""
) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl, oldest first; none where nothing was logged yet. What was not finite is None.

    `path` is the run folder; `name` may be that of another file of rows, metrics.superseded.jsonl; `having` is a metric without
    which rows are left out, at a tenth of the cost, and looked at no closer than that they begin and end as rows do. A last line that
    is cut off, as a killed run leaves it, is dropped with a warning. Raises CorruptRun for any other line that is no JSON object.
    """
    file = Path(path) / name
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        if having not in line and line.startswith("{") and line.endswith("}"):
            continue
        row = _parsed(line)
        if row is not None:
            rows += [row] if not having or having in row else []
        elif number == len(lines):
            logger.warning(
                "%s: line %d is cut off and was left out; the run was killed while it wrote it.",
                file,
                number,
            )
        else:
            raise CorruptRun(
                f"{file}: line {number} is no JSON object, so the file was damaged; remove that line to read the rest."
            )
    return rows


def read_summary(path: str | Path) -> dict[str, Any]:
    """The summary.json of the run folder `path`: `status`, `env_steps`, `wall_seconds`, final metrics, `error` if it failed.

    Raises FileNotFoundError where there is none, since then it is no run folder.
    """
    file = Path(path) / "summary.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as reason:
        raise CorruptRun(
            f"{file} is damaged ({reason}); remove it, and resume the run."
        ) from reason
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is not the folder of a run, which has a summary.json; check the path."
        ) from None


# What is looked into of a provenance.json, which somebody may have written.
PROVENANCE = {
    "choices": dict,
    "devices": list,
    "overrides": list,
    "resumes": list,
    "git": dict,
}
PROVENANCE |= {
    "environment": dict,
    "cores": dict,
    "packages": dict,
    "threads": dict,
    "command": list,
}


def read_provenance(path: str | Path) -> dict[str, Any]:
    """The provenance.json of the run folder `path`; empty where there is none, as of a run that was killed early.

    Raises CorruptRun where it is damaged.
    """
    file = Path(path) / "provenance.json"
    if not file.exists():
        return {}
    try:
        kept = dict(json.loads(file.read_text(encoding="utf-8")))
        wrong = [
            name
            for name, kind in PROVENANCE.items()
            if not isinstance(kept.get(name, kind()), kind | None)
        ]
        if wrong or not all(
            isinstance(each, dict)
            for name in ("devices", "resumes")
            for each in kept.get(name) or ()
        ):
            raise TypeError(f"its {(wrong or ['devices or resumes'])[0]} is not what a run writes")
    except (ValueError, TypeError, RecursionError) as reason:
        raise CorruptRun(
            f"{file} is damaged ({reason}); remove it to go on without it."
        ) from reason
    return kept


def is_running(path: str | Path) -> bool:
    """Whether a run lives in the folder `path`: whether its lock is held."""
    file = Path(path) / ".lock"
    if not file.exists():
        return False
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_completed(path: str | Path) -> bool:
    """Whether the run in the folder `path` reached its budget."""
    return (Path(path) / "summary.json").exists() and read_summary(path).get(
        "status"
    ) == "completed"


def status(path: str | Path) -> str:
    """What became of the run in the folder `path`: its summary's status, but `killed` where that is `running` and it does not live,
    and `never started` where there is no summary."""
    if not (Path(path) / "summary.json").exists():
        return "never started"
    said = str(read_summary(path).get("status"))
    return "killed" if said == "running" and not is_running(path) else said


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
