"""`python -m mbrl list [FOLDER...]`: list runs and sweeps, the newest last."""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rich.table import Column, Table
from rich.text import Text

from mbrl.analysis.grouping import infer_choices
from mbrl.analysis.records import HINTS, UNFINISHED, Record, UnreadableRun, read_records
from mbrl.commands.arguments import add_folders, have_runs_begun
from mbrl.runs.folder import STATUSES
from mbrl.tables import Entry, format_number, has_room, print_entries, print_table
from mbrl.terminal import ArgumentParser, Console

DESCRIPTION = """Lists runs and sweeps, the newest last, with their start, status, settings, result
and folder. A sweep has a line that counts its jobs; the jobs follow it. In a narrow terminal, the
folder is above the other columns, on a line of its own."""
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
)
# Left out where a terminal is too narrow, the first ones first: folders contain most of them.
OPTIONAL = ("started", "model", "env steps", "seed", "planner", "environment")
# By --failed: runs that ended without a result, but not because they were asked to stop.
FAILED = ("failed", "killed", "damaged")
COLOURS = {
    "completed": "green",
    "running": "cyan",
    "failed": "red",
    "damaged": "red",
    "killed": "yellow",
    "interrupted": "yellow",
}


class _Line(NamedTuple):
    """One line: a run, or a sweep with only the first two cells."""

    status: str  # of a run, which it is selected by
    started: datetime
    cells: tuple[str, ...]
    folder: str
    reason: str = ""  # why a run has no result
    indent: str = ""


def main(arguments: list[str]) -> int:
    """List runs. The exit status is 0."""
    parser = ArgumentParser("python -m mbrl list", description=DESCRIPTION)
    add_folders(parser)
    help_text = f"only runs of these statuses, separated by commas: {', '.join(ALL_STATUSES)}"
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument(
        "--status", type=_statuses, default=ALL_STATUSES, metavar="STATUS[,STATUS]", help=help_text
    )
    help_text = f"only runs that are {', '.join(FAILED[:-1])} or {FAILED[-1]}, and the reasons"
    selection.add_argument("--failed", action="store_true", help=help_text)
    given = parser.parse_args(arguments)
    if not have_runs_begun(given.paths):
        return 0
    statuses = FAILED if given.failed else given.status
    records, unreadable = read_records(given.paths)
    lines = list(_lines(records, unreadable, statuses))
    if lines:
        _print(lines, with_reasons=given.failed)
    console = Console()
    for entry in () if given.failed else unreadable:
        if entry.status in statuses:
            folder = f" {entry.folder}:" if entry.status == "failed" else ""
            console.say(f"{entry.status.capitalize()}:{folder} {entry.reason}")
    if not lines:
        named = f" with the status {' or '.join(statuses)}" if statuses != ALL_STATUSES else ""
        console.say(f"No runs{named} in {', '.join(map(str, given.paths))}.")
    return 0


def _print(lines: Sequence[_Line], with_reasons: bool) -> None:
    """Print one line per run if the terminal is wide enough, else the folder above the others."""
    last = ("folder", "reason") if with_reasons else ("folder",)
    table = Table(*(Column(name, no_wrap=True) for name in (*COLUMNS, *last)))
    for line in lines:
        first, *others = line.cells
        ending = (line.folder, line.reason) if with_reasons else (line.folder,)
        table.add_row(*map(_coloured, (line.indent + first, *others, *ending)))
    console = Console()
    if has_room(table, console, one_line=True):
        print_table(table, console)
        return
    names = {
        index: _shorten([line.cells[index] for line in lines], console.width // 3)
        for index in map(COLUMNS.index, ("environment", "model", "planner"))
    }
    entries = []
    for line in lines:
        cells = [names.get(index, {}).get(cell, cell) for index, cell in enumerate(line.cells)]
        notes = [line.reason] if with_reasons and line.reason else []
        if line.status:
            entries.append(Entry(line.folder, [_coloured(cell) for cell in cells], notes))
        else:
            entries.append(Entry(line.folder, [], [cells[1]]))
    print_entries("", COLUMNS, entries, OPTIONAL, console, one_line=True)


def _coloured(cell: str) -> str | Text:
    return Text(cell, COLOURS[cell]) if cell in COLOURS else cell


def _shorten(names: Sequence[str], length: int) -> Mapping[str, str]:
    """Names without their modules, cut from the left to `length` characters.

    `mbrl/Corridor-v0` for `mbrl.envs.corridor:mbrl/Corridor-v0`. Names that would be the same stay
    as they are.
    """
    ends = {name: name.rpartition(":")[2] for name in names}
    short = {
        name: end if len(end) <= length else f"…{end[1 - length :]}" for name, end in ends.items()
    }
    counts = Counter(short.values())
    return {name: text if counts[text] == 1 else name for name, text in short.items()}


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
) -> Iterator[_Line]:
    """One line per run with one of the statuses, after one per sweep that counts all its jobs."""
    lines = {
        record.folder: _record_line(record, choices)
        for record, choices in zip(records, infer_choices(records), strict=True)
    }
    for run in unreadable:
        modified = datetime.fromtimestamp(run.folder.stat().st_mtime).astimezone()
        cells = (_format_time(modified), run.status, *["–"] * 6)
        lines[run.folder] = _Line(run.status, modified, cells, str(run.folder), run.reason)
    sweeps: dict[Path, list[Path]] = {}  # sweep → jobs; a run without a sweep → itself
    for folder in lines:
        is_job = (folder.parent / "multirun.yaml").exists()
        sweeps.setdefault(folder.parent if is_job else folder, []).append(folder)
    started = {
        sweep: min(lines[folder].started for folder in folders) for sweep, folders in sweeps.items()
    }
    for sweep in sorted(sweeps, key=started.__getitem__):
        folders = sweeps[sweep]
        shown = [lines[folder] for folder in folders if lines[folder].status in statuses]
        indent = ""
        if shown and folders != [sweep]:
            counts = Counter(lines[folder].status for folder in folders)
            listed = ", ".join(f"{counts[name]} {name}" for name in ALL_STATUSES if counts[name])
            summary = f"{counts.total()} job{'s' if counts.total() > 1 else ''}: {listed}"
            cells = (_format_time(started[sweep]), summary, *[""] * 6)
            yield _Line("", started[sweep], cells, str(sweep))
            indent = "  "
        for line in shown:
            yield line._replace(indent=indent)


def _record_line(record: Record, choices: Mapping[str, str]) -> _Line:
    budget = "?" if record.budget is None else record.budget
    cells = (
        _format_time(record.started),
        record.status,
        record.environment,
        choices.get("model", "?"),
        choices.get("planner", "?"),
        str(record.seed),
        f"{record.env_steps}/{budget}",
        format_number(record.score),
    )
    reason = record.error or HINTS.get(record.status, "")
    return _Line(record.status, record.started, cells, str(record.folder), reason)


def _format_time(moment: datetime) -> str:
    """In local time, as in the names of folders."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
