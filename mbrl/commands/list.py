"""`python -m mbrl list [FOLDER...]`: the runs and sweeps that are there, newest last."""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from mbrl.analysis.grouping import infer_choices
from mbrl.analysis.records import UNFINISHED, Record, UnreadableRun, printable, read_records
from mbrl.errors import ConfigError
from mbrl.runs.folder import STATUSES
from mbrl.tables import format_number, print_table

DESCRIPTION = """Lists runs and sweeps, newest last: when each began, what became of it, what it was and where it lies. A sweep's jobs
stand under its line, which counts them."""
STATES = (*STATUSES, *UNFINISHED, "damaged")
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

Line = tuple[str, ...]


def main(arguments: list[str]) -> int:
    """Lists; the exit status is 0."""
    parser = argparse.ArgumentParser("python -m mbrl list", description=DESCRIPTION)
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path("outputs")],
        metavar="FOLDER",
        help="where to look; default: outputs",
    )
    parser.add_argument(
        "--status",
        type=_states,
        default=STATES,
        help=f"only runs of this status, or of some: {', '.join(STATES)}",
    )
    given = parser.parse_args(arguments)
    for path in given.paths:
        if not path.is_dir():
            raise ConfigError(
                f"{path} is no folder: name one that runs or sweeps are in, such as outputs."
            )
    records, damaged = read_records(given.paths)
    table = Table(
        *(
            Column(name, no_wrap=name not in ("environment", "folder"), overflow="fold")
            for name in COLUMNS
        )
    )
    for line in _lines(records, damaged, given.status):
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in line))
    if table.row_count:
        print_table(table)
    console = Console(soft_wrap=True, highlight=False)
    for each in damaged:
        if each.status in given.status:
            console.print(
                Text(
                    f"UnreadableRun: {each.reason}"
                    if each.status == "damaged"
                    else f"Failed: {printable(str(each.folder))}: {each.reason}"
                )
            )
    if not table.row_count:
        console.print(Text(f"No runs{_of(given.status)} in {', '.join(map(str, given.paths))}."))
    return 0


def _states(text: str) -> tuple[str, ...]:
    given = tuple(each.strip().replace("-", " ") for each in text.split(","))
    wrong = [each for each in given if each not in STATES]
    if wrong:
        raise argparse.ArgumentTypeError(
            f"{wrong[0]} is no status: name {', '.join(STATES)}, or several with commas between"
        )
    return given


def _of(states: Sequence[str]) -> str:
    return "" if states == STATES else f" that are {' or '.join(states)}"


def _lines(
    records: Sequence[Record], damaged: Sequence[UnreadableRun], states: Sequence[str]
) -> Iterator[Line]:
    """A line a run; before a sweep's jobs one for all of them, the left out ones counted too."""
    choices = infer_choices(records)
    runs = {
        record.folder: (record.status, record.started, _line(record, chosen))
        for record, chosen in zip(records, choices, strict=True)
    }
    runs |= {each.folder: (each.status, _age(each.folder), _damaged_line(each)) for each in damaged}
    families: dict[Path, list[Path]] = {}
    for folder in runs:
        families.setdefault(
            folder.parent if (folder.parent / "multirun.yaml").exists() else folder, []
        ).append(folder)
    for family, folders in sorted(
        families.items(), key=lambda item: min(runs[folder][1] for folder in item[1])
    ):
        shown = [folder for folder in folders if runs[folder][0] in states]
        is_sweep = folders != [family]
        if shown and is_sweep:
            yield _sweep_line(
                family,
                min(runs[folder][1] for folder in folders),
                Counter(runs[folder][0] for folder in folders),
            )
        for folder in shown:
            started, *rest = runs[folder][2]
            yield (f"  {started}" if is_sweep else started, *rest)


def _line(record: Record, choices: Mapping[str, str]) -> Line:
    budget = "?" if record.budget is None else record.budget
    facts = (
        record.environment,
        choices.get("model", "?"),
        choices.get("planner", "?"),
        str(record.seed),
    )
    result = (f"{record.env_steps}/{budget}", format_number(record.score))
    return (_clock(record.started), record.status, *facts, *result, printable(str(record.folder)))


def _damaged_line(each: UnreadableRun) -> Line:
    return (_clock(_age(each.folder)), each.status, *["–"] * 6, printable(str(each.folder)))


def _sweep_line(folder: Path, started: datetime, counts: Counter) -> Line:
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return (
        _clock(started),
        f"{counts.total()} job{'s' if counts.total() > 1 else ''}: {states}",
        *[""] * 6,
        printable(str(folder)),
    )


def _age(folder: Path) -> datetime:
    return datetime.fromtimestamp(folder.stat().st_mtime).astimezone()


def _clock(moment: datetime) -> str:
    """In this place's time, which folders are named after."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
