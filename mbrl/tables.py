"""How tables, numbers and durations look on a terminal."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def print_table(table: Table, console: Console | None = None) -> None:
    """Prints a table; into a file as wide as it needs, so that paths stay on one line."""
    console = console or Console()
    if not console.is_terminal:
        wanted = Measurement.get(console, console.options.update(max_width=1000), table).maximum
        console = Console(file=console.file, width=max(console.width, wanted))
    console.print(table)


def format_number(value: float | None) -> str:
    """Four significant digits; a dash for what was not finite."""
    return "–" if value is None or value != value else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
