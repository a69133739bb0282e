"""Tables and numbers as the terminal shows them."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table; if the output is not a terminal, wide enough to keep paths on one line."""
    console = console or Console()
    if not console.is_terminal:
        needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
        console = Console(file=console.file, width=max(console.width, needed))
    console.print(table)


def format_number(value: float | None) -> str:
    """Four significant digits, all before the point up to 15; a dash for None and NaN."""
    if value is None or value != value:
        return "–"
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e15 else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """`1:05` for minutes and seconds, `1:01:05` with hours."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
