import io

import pytest
from rich.table import Table
from rich.text import Text

from mbrl.tables import Entry, fit_words, has_room, print_entries, print_table
from mbrl.terminal import Console

NAMES = ("status", "mean return", "interval")
ROWS = (("completed", "-1000001", "12\n[-4.903, 4.236]"), ("never started", "3", "–"))


def terminal(width: int) -> Console:
    return Console(width=width, force_terminal=True, color_system=None, file=io.StringIO())


def table() -> Table:
    made = Table(*NAMES)
    for row in ROWS:
        made.add_row(*map(Text, row))
    return made


def entries() -> list[Entry]:
    return [Entry("a/" * 60, [Text(cell) for cell in row], ["why " * 60]) for row in ROWS]


@pytest.mark.parametrize(
    ("room", "widths"),
    [(100, [5, 11, 6]), (22, [5, 11, 6]), (20, [5, 9, 6]), (16, [5, 5, 6]), (15, None)],
)
def test_widths_break_no_word_and_fill_the_room(room, widths):
    columns = [["a", "seven", "b"], ["of", "seven words"], ["c", "[1, 2]"]]
    assert fit_words(columns, room) == widths


@pytest.mark.parametrize(("room", "widths"), [(22, [5, 11, 6]), (21, None)])
def test_widths_for_one_line_break_no_cell(room, widths):
    columns = [["a", "seven", "b"], ["of", "seven words"], ["c", "[1, 2]"]]
    assert fit_words(columns, room, one_line=True) == widths


@pytest.mark.parametrize("width", range(20, 70))
def test_where_a_framed_table_has_room_no_word_is_broken(width):
    console = terminal(width)
    if has_room(table(), console):
        print_table(table(), console)
        text = console.file.getvalue()
        assert max(map(len, text.splitlines())) <= width
        assert all(word in text for row in (NAMES, *ROWS) for cell in row for word in cell.split())
    else:
        assert width < 46  # 9 + 8 + 15 characters, and the frame


def test_without_a_terminal_there_is_always_room():
    assert has_room(table(), Console(width=10, file=io.StringIO()), one_line=True)


@pytest.mark.parametrize("width", [30, 40, 80])
def test_entries_have_headings_and_notes_on_one_line_and_no_broken_word(width):
    console = terminal(width)
    print_entries("title", NAMES, entries(), ("interval",), console)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "title"
    assert lines.count("a/" * 60) == 2
    assert len([line for line in lines if line == f"  {'why ' * 60}"]) == 2
    others = [line for line in lines if not any(word in line for word in ("a/", "why", "wider"))]
    assert max(map(len, others)) <= width
    left_out = lines[-1] == "A wider terminal also shows: interval."
    assert left_out == (width == 30)
    for name, cells in zip(NAMES, zip(*ROWS, strict=True), strict=True):
        for word in " ".join((name, *cells)).split():
            assert any(word in line for line in others) or (left_out and name == "interval")


def test_optional_columns_with_one_value_are_named_once():
    console = terminal(80)
    rows = [Entry(name, [Text("ensemble"), Text(name)]) for name in ("a", "b")]
    print_entries("runs", ("model", "seed"), rows, ("seed", "model"), console)
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    assert lines == ["runs (all: model ensemble)", "seed", "a", "a", "b", "b"]
    console = terminal(80)
    print_entries("", ("model", "seed"), rows[:1], ("seed", "model"), console)
    assert console.file.getvalue().split() == ["model", "seed", "a", "ensemble", "a"]
