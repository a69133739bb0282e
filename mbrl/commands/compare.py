"""`python -m mbrl compare FOLDER...`: compare runs in a table, a figure and a page."""

import argparse
import math
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Column, Table
from rich.text import Text

from mbrl.errors import ConfigError
from mbrl.tables import Entry, has_room, print_entries, print_listing, print_table
from mbrl.terminal import ArgumentParser, Console

if TYPE_CHECKING:
    from mbrl.analysis.compare import Comparison

DESCRIPTION = """Compares runs and sweeps. Groups them by what differs in their configs, except the
seed, and prints for each group its returns with intervals, the steps and time to a threshold, and
the probability that it is better than the first group. Runs that failed, were killed or are still
running are listed. Writes compare.png and compare.pdf (for a paper), compare.csv (one line per run)
and compare.html (one page with everything), with --csv curves also curves.csv (one line per
evaluation). docs/comparing.md explains the columns."""

CONFIDENCE = 0.95
# Left out where a terminal is too narrow, the first ones first; compare.html has all columns.
OPTIONAL = ("wall time", "time to it", "env steps", "runs")
CURVES = "curves.csv"


def main(arguments: list[str]) -> int:
    """Compare runs. The exit status is 0, or 1 if no run could be read."""
    given = _parser().parse_args(arguments)
    # Imported here, since drawing and statistics take longer to import than to refuse arguments.
    from mbrl.analysis.compare import compare

    comparison = compare(given.paths, given.by, given.threshold, given.confidence)
    _print(comparison)
    if not comparison.runs:
        return 1
    # The command makes the comparison again, without its folder, which is now in use.
    options = [f"--by={','.join(given.by)}"] if given.by else []
    options += [] if given.threshold is None else [f"--threshold={given.threshold}"]
    options += [] if given.confidence == CONFIDENCE else [f"--confidence={given.confidence}"]
    options += [] if given.csv == "runs" else [f"--csv={given.csv}"]
    command = shlex.join(["python", "-m", "mbrl", "compare", *map(str, given.paths), *options])
    folder = _new_folder(given.folder)
    _write(comparison, folder, command)
    if given.csv == "curves":
        from mbrl.analysis.curves import learning_curves, write_curves

        write_curves(learning_curves(comparison.runs, comparison.grouping.names), folder / CURVES)
        Console().say(f"Written: {folder / CURVES}")
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser("python -m mbrl compare", description=DESCRIPTION)
    help_text = "folder of a run, of a sweep, or of many of them; default: outputs"
    default = [Path("outputs")]
    parser.add_argument(
        "paths", nargs="*", type=Path, default=default, metavar="FOLDER", help=help_text
    )
    help_text = "group by these choices or settings only, for example planner,model.num_members"
    parser.add_argument("--by", type=_names, default=(), metavar="NAME[,NAME]", help=help_text)
    help_text = "return to be reached; default: the environment's env.solved_score"
    parser.add_argument("--threshold", type=_finite, metavar="RETURN", help=help_text)
    help_text = f"confidence of the intervals; default {CONFIDENCE}"
    parser.add_argument("--confidence", type=_fraction, default=CONFIDENCE, help=help_text)
    help_text = f"curves: also write {CURVES}, one line per evaluation; default: runs, one per run"
    parser.add_argument("--csv", choices=("runs", "curves"), default="runs", help=help_text)
    help_text = "where to write; default: a new folder in outputs/comparisons"
    parser.add_argument("--folder", type=Path, help=help_text)
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text}: must be a finite number")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be between 0 and 1, for example 0.95")
    return value


def _new_folder(folder: Path | None) -> Path:
    """Create the folder to write to. Raises ConfigError if it holds a comparison already."""
    now = datetime.now()
    folder = folder or Path("outputs", "comparisons", f"{now:%Y-%m-%d}", f"{now:%H-%M-%S.%f}")
    existing = sorted(path.name for path in [*folder.glob("compare.*"), *folder.glob(CURVES)])
    if existing:
        raise ConfigError(
            f"--folder={folder}: already holds a comparison ({', '.join(existing)}). "
            "Name another folder, or remove this one."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _print(comparison: "Comparison") -> None:
    from mbrl.analysis.comparison_table import header, rows, title
    from mbrl.analysis.comparison_warnings import notes, unfinished

    sections = [*comparison.sections, *([comparison.aggregate] if comparison.aggregate else [])]
    for section in sections:
        _print_section(title(section), header(section, comparison), rows(section))
    Console().say(*(f"Note: {sentence}" for sentence in notes(comparison)))
    lines = unfinished(comparison)
    if lines:
        entries = [Entry(folder, [status, group], [why]) for status, group, folder, why in lines]
        print_listing("Not completed", ("status", "group"), ("folder", "why"), entries)


def _print_section(title: str, names: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table of groups; in a narrow terminal, the groups are above their rows."""
    table, console = _table(title, names, lines), Console()
    if not has_room(table, console, one_line=True):
        # An interval stays whole, below its estimate.
        lines = [[group, *(cell.replace(" [", "\n[") for cell in row)] for group, *row in lines]
        table = _table(title, names, lines)
    if has_room(table, console):
        print_table(table, console)
        return
    entries = [Entry(group, list(map(Text, cells))) for group, *cells in lines]
    optional = [name for name in OPTIONAL if name in names]
    print_entries(title, names[1:], entries, optional, console)


def _table(title: str, names: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    columns = [Column(name, overflow="fold") for name in names]
    table = Table(*columns, title=title, title_justify="left")
    for group, *cells in lines:
        table.add_row(group, *map(Text, cells))  # which may have two lines
    return table


def _write(comparison: "Comparison", folder: Path, command: str) -> None:
    from mbrl.analysis.comparison_page import write_page
    from mbrl.analysis.comparison_plot import draw
    from mbrl.analysis.comparison_table import write_csv

    draw(comparison, [folder / "compare.png", folder / "compare.pdf"])
    write_csv(comparison, folder / "compare.csv")
    write_page(comparison, command, folder / "compare.html")
    Console().say(f"Written: {folder}/compare.html, .png, .pdf, .csv")
