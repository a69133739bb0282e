"""`python -m mbrl compare FOLDER...`: runs beside each other, as a table, a figure and a page."""

import argparse
import math
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from mbrl.errors import ConfigError
from mbrl.tables import print_table

DESCRIPTION = """Compares runs and sweeps: groups them by what differs in their configs, seeds apart, and prints for each group the
returns with intervals, the steps and seconds to a threshold, and how likely it is better than the first group. Runs that failed,
were killed or still run are named. Writes compare.png and .pdf (for a paper), compare.csv (a line a run) and compare.html
(one page with all of it). docs/comparing.md says what it all means."""

CONFIDENCE = 0.95


def main(arguments: list[str]) -> int:
    """Compares; the exit status is 0, or 1 where no run could be read."""
    given = _parser().parse_args(arguments)
    # Here, since drawing and statistics take longer to import than to say no.
    from mbrl.analysis.compare import compare

    for path in given.paths:
        if not path.is_dir():
            raise ConfigError(
                f"{path} is no folder: name folders of runs or sweeps, or one that they are in, such as outputs."
            )
    try:
        comparison = compare(given.paths, given.by, given.threshold, given.confidence)
    except ValueError as reason:
        raise ConfigError(str(reason)) from reason
    if not comparison.runs and not comparison.damaged:
        mend = (
            f"name {' '.join(map(str, comparison.left_out))} to have what is there"
            if comparison.left_out
            else "check the path"
        )
        raise ConfigError(
            f"{' '.join(map(str, given.paths))} holds no run, which has a config.yaml: {mend}."
        )
    _print(comparison)
    if not comparison.runs:
        return 1
    _write(comparison, _new_folder(given.folder), _again(given))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m mbrl compare", description=DESCRIPTION)
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="of a run, a sweep, or many of them, such as outputs",
    )
    parser.add_argument(
        "--by",
        type=_names,
        default=(),
        metavar="NAME[,NAME]",
        help="group by these choices or settings (planner, model.num_members) alone",
    )
    parser.add_argument(
        "--threshold",
        type=_finite,
        help="return to be reached; default: the environment's env.solved_score",
    )
    parser.add_argument(
        "--confidence",
        type=_share,
        default=CONFIDENCE,
        help=f"of the intervals; default {CONFIDENCE}",
    )
    parser.add_argument(
        "--folder", type=Path, help="where to write; default: a new folder in outputs/comparisons"
    )
    return parser


def _again(given: argparse.Namespace) -> str:
    """The command without the folder, which now has a comparison."""
    options = [f"--by={','.join(given.by)}"] if given.by else []
    options += [] if given.threshold is None else [f"--threshold={given.threshold}"]
    options += [] if given.confidence == CONFIDENCE else [f"--confidence={given.confidence}"]
    return shlex.join(["python", "-m", "mbrl", "compare", *map(str, given.paths), *options])


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(
            f"{text} must be a finite number: the return to be reached"
        )
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(
            f"{text} must be between 0 and 1: the share of intervals that hold the truth, such as 0.95"
        )
    return number


def _new_folder(folder: Path | None) -> Path:
    """A folder in which nothing can be overwritten. Raises ConfigError where there is a comparison already."""
    now = datetime.now()
    folder = folder or Path("outputs", "comparisons", f"{now:%Y-%m-%d}", f"{now:%H-%M-%S.%f}")
    found = sorted(path.name for path in folder.glob("compare.*"))
    if found:
        raise ConfigError(
            f"--folder {folder} has a comparison already ({', '.join(found)}): name another one, or remove it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _print(comparison) -> None:
    from mbrl.analysis.comparison_table import header, rows, title
    from mbrl.analysis.comparison_warnings import notes, unfinished

    for section in (
        *comparison.sections,
        *([comparison.aggregate] if comparison.aggregate else []),
    ):
        print_table(_table(title(section), header(section, comparison), rows(section)))
    console = Console(soft_wrap=True, highlight=False)
    for sentence in notes(comparison):
        console.print(Text(f"Note: {sentence}"))
    left_out = unfinished(comparison)
    if left_out:
        print_table(_table("Not completed", ("status", "group", "folder", "why"), left_out))


def _table(title: str, names: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    table = Table(
        *(Column(Text(name), overflow="fold") for name in names),
        title=Text(title),
        title_justify="left",
    )
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _write(comparison, folder: Path, command: str) -> None:
    from mbrl.analysis.comparison_page import write_page
    from mbrl.analysis.comparison_plot import draw
    from mbrl.analysis.comparison_table import write_csv

    draw(comparison, [folder / "compare.png", folder / "compare.pdf"])
    write_csv(comparison, folder / "compare.csv")
    write_page(comparison, folder / "compare.png", command, folder / "compare.html")
    Console(soft_wrap=True, highlight=False).print(
        Text(f"Written: {folder}/compare.html, .png, .pdf, .csv")
    )
