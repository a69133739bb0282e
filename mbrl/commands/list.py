"""`python -m mbrl list [FOLDER...]`: list runs and sweeps, the newest last."""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from mbrl.analysis.grouping import infer_choices
from mbrl.analysis.records import UNFINISHED, Record, UnreadableRun, printable, read_records
from mbrl.errors import ConfigError
from mbrl.runs.folder import STATUSES
from mbrl.tables import format_number, print_table

DESCRIPTION = """Lists runs and sweeps, the newest last, with their start, status, settings, result
and folder. A sweep has a line that counts its jobs; the jobs follow it."""
ALL_STATUSES = (*STATUSES, *UNFINISHED, "damaged")
COLUMNS = (
    "started",
    "status",
    "environment",
    "model",
    "planner",
    "seed",
    "env steps",
    "evaluation return",
    "folder",
)
COLOURS = {
    "completed": "green",
    "running": "cyan",
    "failed": "red",
    "damaged": "red",
    "killed": "yellow",
    "interrupted": "yellow",
}


class _Entry(NamedTuple):
    """One run: what it is sorted and selected by, and its cells after the first column."""

    status: str
    started: datetime
    cells: tuple[str, ...]


def main(arguments: list[str]) -> int:
    """List runs. The exit status is 0."""
    parser = argparse.ArgumentParser("python -m mbrl list", description=DESCRIPTION)
    default = [Path("outputs")]
    help_text = "where to look; default: outputs"
    parser.add_argument(
        "paths", nargs="*", type=Path, default=default, metavar="FOLDER", help=help_text
    )
    help_text = f"only runs of these statuses, separated by commas: {', '.join(ALL_STATUSES)}"
    parser.add_argument(
        "--status", type=_statuses, default=ALL_STATUSES, metavar="STATUS[,STATUS]", help=help_text
    )
    given = parser.parse_args(arguments)
    if given.paths == default and not default[0].exists():
        print("There are no runs here yet. Start one: python -m mbrl run planner=mcts")
        return 0
    for path in given.paths:
        if not path.is_dir():
            raise ConfigError(
                f"{path} is not a folder. Name one that contains runs or sweeps, such as outputs."
            )
    records, unreadable = read_records(given.paths)
    lines = list(_lines(records, unreadable, given.status))
    if lines:
        foldable = ("environment", "folder")
        columns = [Column(name, no_wrap=name not in foldable, overflow="fold") for name in COLUMNS]
        table = Table(*columns)
        for line in lines:
            table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in line))
        print_table(table)
    console = Console(soft_wrap=True, highlight=False)
    for entry in unreadable:
        if entry.status in given.status:
            folder = f" {printable(str(entry.folder))}:" if entry.status == "failed" else ""
            console.print(Text(f"{entry.status.capitalize()}:{folder} {entry.reason}"))
    if not lines:
        selection = ""
        if given.status != ALL_STATUSES:
            selection = f" with the status {' or '.join(given.status)}"
        console.print(Text(f"No runs{selection} in {', '.join(map(str, given.paths))}."))
    return 0


def _statuses(text: str) -> tuple[str, ...]:
    statuses = tuple(part.strip().replace("-", " ") for part in text.split(","))
    for status in statuses:
        if status not in ALL_STATUSES:
            raise argparse.ArgumentTypeError(
                f"{status} is not a status; choose from {', '.join(ALL_STATUSES)}"
            )
    return statuses


def _lines(
    records: Sequence[Record], unreadable: Sequence[UnreadableRun], statuses: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """One line per run with one of the statuses, after one per sweep that counts all its jobs."""
    entries = {
        record.folder: _record_entry(record, choices)
        for record, choices in zip(records, infer_choices(records), strict=True)
    }
    for run in unreadable:
        modified = datetime.fromtimestamp(run.folder.stat().st_mtime).astimezone()
        cells = (run.status, *["–"] * 6, printable(str(run.folder)))
        entries[run.folder] = _Entry(run.status, modified, cells)
    sweeps: dict[Path, list[Path]] = {}  # sweep → jobs; a run without a sweep → itself
    for folder in entries:
        is_job = (folder.parent / "multirun.yaml").exists()
        sweeps.setdefault(folder.parent if is_job else folder, []).append(folder)
    started = {
        sweep: min(entries[folder].started for folder in folders)
        for sweep, folders in sweeps.items()
    }
    for sweep in sorted(sweeps, key=started.__getitem__):
        folders = sweeps[sweep]
        shown = [entries[folder] for folder in folders if entries[folder].status in statuses]
        indent = ""
        if shown and folders != [sweep]:
            counts = Counter(entries[folder].status for folder in folders)
            listed = ", ".join(f"{counts[name]} {name}" for name in ALL_STATUSES if counts[name])
            summary = f"{counts.total()} job{'s' if counts.total() > 1 else ''}: {listed}"
            yield _format_time(started[sweep]), summary, *[""] * 6, printable(str(sweep))
            indent = "  "
        for entry in shown:
            yield indent + _format_time(entry.started), *entry.cells


def _record_entry(record: Record, choices: Mapping[str, str]) -> _Entry:
    budget = "?" if record.budget is None else record.budget
    cells = (
        record.status,
        record.environment,
        choices.get("model", "?"),
        choices.get("planner", "?"),
        str(record.seed),
        f"{record.env_steps}/{budget}",
        format_number(record.score),
        printable(str(record.folder)),
    )
    return _Entry(record.status, record.started, cells)


def _format_time(moment: datetime) -> str:
    """In local time, as in the names of folders."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
