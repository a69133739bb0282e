"""What became of a sweep's jobs, read from their folders."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from mbrl.loggers.console import clock, number, print_result
from mbrl.runs.finder import runs_in
from mbrl.runs.reader import DamagedRun, read_summary, status


def print_jobs(sweep: Path) -> int:
    """Prints what became of each job of a sweep, and how to go on; returns an exit status, 0 where all are completed."""
    folders = runs_in(sweep)
    states = [_state(folder) for folder in folders]
    print_result(_table(folders, states))
    for folder in folders:
        if "error" in _summary(folder):
            print(f"{folder.name}: {_summary(folder)['error']}")
    unfinished = sum(state != "completed" for state in states)
    if unfinished:
        print(f"{unfinished} of {len(states)} jobs are not completed; to finish them: python -m mbrl resume {sweep}")
    print(f"To compare them: python -m mbrl compare {sweep}")
    return 1 if unfinished else 0


def why_not_completed(folder: Path) -> str:
    """One sentence on a job that has no result."""
    reason = str(_summary(folder).get("error") or f"it is {_state(folder)}")
    return f"{folder}: {reason}"


def _table(folders: Sequence[Path], states: Sequence[str]) -> Table:
    table = Table("job", "status", "env steps", "evaluation return", "wall time")
    for folder, state in zip(folders, states, strict=True):
        summary = _summary(folder)
        score, seconds = summary.get("evaluation/return_mean"), summary.get("wall_seconds") or 0.0
        table.add_row(Text(folder.name), state, str(summary.get("env_steps", 0)), number(score), clock(seconds))
    return table


def _state(folder: Path) -> str:
    try:
        return status(folder)
    except DamagedRun:
        return "damaged"


def _summary(folder: Path) -> dict:
    try:
        return read_summary(folder) if (folder / "summary.json").exists() else {}
    except DamagedRun as reason:
        return {"error": str(reason)}
