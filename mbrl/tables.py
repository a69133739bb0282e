"""Tables and numbers as the terminal shows them."""

import os
import sys

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


class RunConsole(Console):
    """The console of a run, which does not end where its output is closed, as by `| head -1`."""

    def on_broken_pipe(self) -> None:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), self.file.fileno())
        print(
            "The output was closed. The run continues; its folder has everything.", file=sys.stderr
        )


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table; if the output is not a terminal, wide enough to keep paths on one line."""
    console = console or Console()
    if not console.is_terminal:
        needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
        console.width = max(console.width, needed)
    console.print(table)


def format_number(value: float | None) -> str:
    """Four significant digits; a dash for None and NaN."""
    return "–" if value is None or value != value else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """`1:05` for minutes and seconds, `1:01:05` with hours."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
