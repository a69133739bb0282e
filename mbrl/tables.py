"""Tables and numbers as the terminal shows them: without a broken word or path."""

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.align import VerticalAlignMethod
from rich.cells import cell_len
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from mbrl.errors import printable, printable_lines
from mbrl.terminal import Console

GAP = 2  # blanks between the columns of rows without a frame, and before the first
WORD = re.compile(r"\[[^\]]*\]|\S+")
FRAME = 3  # characters that a column needs besides its text; the table needs one more


@dataclass(frozen=True)
class Entry:
    """A row below a heading of its own, such as a folder, that stays on one line to be copied."""

    heading: str
    cells: Sequence[str | Text]  # none for a heading without a row
    notes: Sequence[str] = ()  # lines below the row


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a framed table: on a terminal without breaking a word if there is room, else in full.

    Without a terminal, it is as wide as it needs to be to keep each row on one line.
    """
    console = console or Console()
    if console.is_terminal:
        if widths := _framed_widths(table, console.width):
            for column, width in zip(table.columns, widths, strict=True):
                column.width = width
    else:
        needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
        console.width = max(console.width, needed)
    console.print(table)


def has_room(table: Table, console: Console, one_line: bool = False) -> bool:
    """Whether a framed table breaks no word, and with `one_line` no cell.

    Without a terminal there is always room.
    """
    return not console.is_terminal or _framed_widths(table, console.width, one_line) is not None


def print_entries(
    title: str,
    names: Sequence[str],
    entries: Sequence[Entry],
    optional: Sequence[str] = (),
    console: Console | None = None,
    one_line: bool = False,
) -> None:
    """Print rows under their headings, for terminals that are too narrow for a framed table.

    `optional` columns with one value in all rows are named once, after the title. Others of them
    are left out, the first ones first, while words (with `one_line`, cells) would be broken; a last
    line names them.
    """
    console = console or Console()
    rows = [entry.cells for entry in entries if entry.cells]
    texts = {name: [_plain(row[index]) for row in rows] for index, name in enumerate(names)}
    is_shared = {name: len(rows) > 1 and len(set(texts[name])) == 1 for name in optional}
    shared = [name for name in names if is_shared.get(name)]
    columns = {name: texts[name] for name in names if name not in shared}
    widths, left_out = _drop_columns(columns, optional, console.width, one_line)
    if shared:
        constant = ", ".join(f"{name} {texts[name][0]}" for name in shared)
        title = f"{title} (all: {constant})" if title else f"All: {constant}"
    if title:
        console.print(Text(title, style="italic"), soft_wrap=True)
    if rows:
        header = [Text(name, style="bold") for name in columns]
        console.print(_row(header, widths, "bottom"))
    for entry in entries:
        console.say(entry.heading)
        if entry.cells:
            cells = dict(zip(names, entry.cells, strict=True))
            console.print(_row([cells[name] for name in columns], widths))
        console.say(*(f"{' ' * GAP}{note}" for note in entry.notes))
    if left_out:
        text = Text(f"A wider terminal also shows: {', '.join(left_out)}.", style="italic")
        console.print(text, soft_wrap=True)


def _drop_columns(
    columns: dict[str, list[str]], optional: Sequence[str], width: int, one_line: bool
) -> tuple[Sequence[int | None], list[str]]:
    """Remove optional columns until the others fit; return the widths and the removed names.

    The widths are None if the others never fit: then they are broken.
    """
    left_out: list[str] = []
    candidates = [name for name in optional if name in columns]
    while True:
        texts = [[name, *cells] for name, cells in columns.items()]
        widths = fit_words(texts, width - GAP * (len(columns) + 1), one_line)
        if widths or not candidates:
            return widths or [None] * len(columns), left_out
        left_out.append(candidates.pop(0))
        del columns[left_out[-1]]


def print_listing(
    title: str, names: Sequence[str], last: Sequence[str], entries: Sequence[Entry]
) -> None:
    """Print entries as a framed table, with headings and notes in columns `last`, if it has room.

    In a narrow terminal, headings and notes are on lines of their own.
    """
    columns = [Column(name, no_wrap=True) for name in (*names, *last)]
    table = Table(*columns, title=title, title_justify="left")
    for entry in entries:
        table.add_row(*entry.cells, entry.heading, *entry.notes)
    console = Console()
    if has_room(table, console, one_line=True):
        print_table(table, console)
    else:
        print_entries(title, names, entries, console=console)


def _row(
    cells: Sequence[str | Text], widths: Sequence[int | None], vertical: VerticalAlignMethod = "top"
) -> Padding:
    columns = [Column(width=width, overflow="fold", vertical=vertical) for width in widths]
    row = Table(*columns, box=None, show_header=False, padding=(0, GAP, 0, 0), pad_edge=False)
    row.add_row(*cells)
    return Padding(row, (0, 0, 0, GAP), expand=False)


def _framed_widths(table: Table, width: int, one_line: bool = False) -> list[int] | None:
    columns = [list(map(_plain, (column.header, *column.cells))) for column in table.columns]
    return fit_words(columns, width - FRAME * len(columns) - 1, one_line)


def _plain(cell: Any) -> str:
    return printable_lines(cell.plain) if isinstance(cell, Text) else printable(str(cell))


def fit_words(
    columns: Sequence[Sequence[str]], room: int, one_line: bool = False
) -> list[int] | None:
    """A width for each column that breaks no word, or None if these need more than `room` in all.

    A column is a header and cells; with `one_line`, no line of a cell is broken. Intervals in
    brackets count as a word. Narrow columns get what they need first.
    """
    least, most = [], []
    for header, *cells in columns:
        lines = [line for cell in cells for line in cell.split("\n")]
        words = lines if one_line else [word for line in lines for word in WORD.findall(line)]
        least.append(max(map(cell_len, (*header.split(), *words)), default=0))
        most.append(max(map(cell_len, (header, *lines))))
    if sum(least) > room:
        return None
    limit = max(most)
    widths = most
    while sum(widths) > room:
        limit -= 1
        widths = [max(low, min(high, limit)) for low, high in zip(least, most, strict=True)]
    return widths


def format_path(path: Path) -> str:
    """The path as short as it can be copied: relative to the working directory if it is inside."""
    with suppress(ValueError, FileNotFoundError):  # it is outside, or there is none any more
        return str(path.relative_to(Path.cwd()))
    return str(path)


def resume_command(folder: Path | str, *settings: str) -> str:
    """The command that resumes the run or sweep in a folder, to be copied."""
    return shlex.join(["python", "-m", "mbrl", "resume", str(folder), *settings])


def format_number(value: float | None) -> str:
    """Four significant digits, all before the point up to 15; a dash for None and NaN."""
    if value is None or value != value:
        return "–"
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e15 else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """`1:05` for minutes and seconds, `1:01:05` with hours; a dash for NaN."""
    if seconds != seconds:
        return "–"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
