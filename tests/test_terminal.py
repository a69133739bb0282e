import io
import re

import pytest
from rich.table import Column, Table
from rich.text import Text

from mbrl.errors import ConfigError, printable, printable_lines
from mbrl.tables import print_table
from mbrl.terminal import ArgumentParser, Console, RunConsole

# Text that sets a title, clears the screen, links, forges a line, colours, turns the direction of
# writing, is no text at all, or is Rich's markup: wrong, right, and an emoji.
ATTACKS = (
    "\x1b]0;owned\x07",
    "\x1b[2J",
    "\x1b[31mred",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    "\r forged",
    "\n\nforged",
    "\x9b31m",
    "\u202eevil",
    "\u2028line",
    "\udc80",
    "[/x]",
    "[bold red]x",
    ":warning:",
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_text_without_control_characters_is_unchanged():
    for text in ("größer – 机器", "two  blanks ", "", "e\u0301 ✓", "👩\u200d🔬", "می\u200cخواهم"):
        assert printable(text) == text
    assert printable("a\tb\r\nc") == "a b  c"
    assert printable_lines("a\n\x1bb\n") == "a\n�b\n"


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("kind", [Console, RunConsole])
def test_a_console_prints_text_as_it_is_without_what_steers_terminals(attack, is_terminal, kind):
    console = kind(file=io.StringIO(), force_terminal=is_terminal, width=80)
    table = Table(attack, Column(Text(attack)), title=attack, caption=attack)
    table.add_row(attack, Text(attack, style="red"))
    console.say(f"<{attack}>", "next")
    print_table(table, console)
    console.print(attack, Text(attack), table)
    printed = console.file.getvalue()
    assert printed.startswith(f"<{printable(attack)}>\nnext\n")
    assert ("\x1b[31m" in printed) is is_terminal  # our own colour
    assert is_harmless(COLOUR.sub("", printed))
    codes = {code for style in COLOUR.findall(printed) for code in style[2:-1].split(";")}
    assert codes <= {"0", "1", "2", "3", "31"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_frame_stays_whole_around_text_that_was_replaced(attack):
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    table = Table("name", "other")
    for name in (attack, "plain"):
        table.add_row(name, "cell")
    print_table(table, console)
    assert len({len(line) for line in console.file.getvalue().splitlines()}) == 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_errors_are_printable_wherever_they_are_shown(attack):
    message = str(ConfigError(f"planner={attack}: unknown."))
    assert message.startswith("planner=")
    assert message.isprintable()


@pytest.mark.parametrize("attack", ATTACKS)
def test_refused_arguments_are_printed_as_plain_text(capsys, attack):
    with pytest.raises(SystemExit):
        ArgumentParser("mbrl").parse_args([f"--{attack}"])
    error = capsys.readouterr().err
    assert f"--{printable(attack)}\n" in error
    assert is_harmless(error)
