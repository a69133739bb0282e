"""The terminal: a live progress display, or plain lines where the output goes elsewhere; at the end, a table."""

import logging
import sys
from collections import ChainMap, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mbrl.loggers.base import AbstractLogger
from mbrl.tables import format_duration, format_number

LINES = 10  # plain lines a run, beside one for each evaluation
PACE_ROWS = 50  # rows over which steps/s are averaged


class ConsoleLogger(AbstractLogger):
    """Shows steps, the latest returns and losses, steps/s and the time left.

    On a terminal, one display that is redrawn; elsewhere a line for each evaluation and for each tenth of the run. So too
    where the run is not `owns_terminal`, but others write to the same terminal; there a line begins with the name of the run's folder.
    """

    def __init__(
        self,
        total_env_steps: int,
        folder: Path | str = "",
        owns_terminal: bool = True,
        console: Console | None = None,
        **unused: Any,
    ):
        self._total = total_env_steps
        self._console = console or Console()
        self._redraws = self._console.is_terminal and owns_terminal
        self._prefix = "" if owns_terminal else f"{Path(folder).name}: "
        self._latest: dict[str, Any] = {}
        self._times: deque[tuple[int, float]] = deque(
            maxlen=PACE_ROWS
        )  # (env_steps, wall_seconds) of the last rows
        self._printed_steps = 0  # env_steps of the last plain line
        self._spinner = Spinner(
            "dots"
        )  # shows through long phases, which log nothing, that the run lives
        self._live: Live | None = None
        self._moved_handlers: list[tuple[logging.StreamHandler, Any]] = []

    def log(self, row: Mapping[str, Any]) -> None:
        if self._redraws:
            self._take(row)
            self._started_display().update(self._picture())
            return
        # A due line waits for the next step, so that all rows of one step share it; an evaluation is the last of them.
        due = self._unprinted_steps() >= self._total / LINES
        if due and row["env_steps"] > self._latest["env_steps"]:
            self._print_line()
        self._take(row)
        if "evaluation/return_mean" in row:
            self._print_line()

    def finish(self, status: str) -> None:
        if self._live is not None:
            self._live.update(self._picture(status), refresh=True)
            self._stop(self._live)
        elif self._unprinted_steps() > 0:
            self._print_line()

    def _take(self, row: Mapping[str, Any]) -> None:
        self._latest.update(row)
        self._times.append((row["env_steps"], row["wall_seconds"]))

    def _unprinted_steps(self) -> int:
        return self._latest.get("env_steps", 0) - self._printed_steps

    def _started_display(self) -> Live:
        """Started at the first row, not before, so that nothing is left to undo where a run cannot start."""
        if self._live is not None:
            return self._live
        streams = {sys.stdout: "stdout", sys.stderr: "stderr"}
        self._live = Live(console=self._console, refresh_per_second=4)
        self._live.start()
        # Rich now prints above the display what goes to sys.stdout and sys.stderr; but log handlers hold the old ones.
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in streams:
                self._moved_handlers.append((handler, handler.stream))
                handler.setStream(getattr(sys, streams[handler.stream]))
        return self._live

    def _stop(self, display: Live) -> None:
        for handler, stream in self._moved_handlers:
            handler.setStream(stream)
        self._moved_handlers.clear()
        display.stop()

    def _picture(self, status: str | None = None) -> Group:
        steps = self._latest["env_steps"]
        mark = Text("■") if status else self._spinner
        pace = status or "  ".join(self._pace())
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            mark,
            ProgressBar(self._total, min(steps, self._total), width=30),
            f"{steps}/{self._total} steps",
            pace,
        )
        return Group(
            bar, Text("  ".join(self._returns())), Text("  ".join(self._losses()), style="dim")
        )

    def _print_line(self) -> None:
        steps = self._latest["env_steps"]
        parts = [
            f"{steps:>{len(str(self._total))}}/{self._total} steps",
            format_duration(self._latest["wall_seconds"]),
        ]
        parts += [*self._returns(), *self._losses(), *self._pace()]
        self._console.print(
            self._prefix + "  ".join(parts), soft_wrap=True, markup=False, highlight=False
        )
        self._printed_steps = steps

    def _returns(self) -> list[str]:
        latest = self._latest
        parts = (
            [f"episode return {format_number(latest['episode/return'])}"]
            if "episode/return" in latest
            else []
        )
        if "evaluation/return_mean" in latest:
            parts.append(f"evaluation return {_mean_and_std(latest)}")
        return parts

    def _losses(self) -> list[str]:
        return [
            f"{name} {format_number(value)}"
            for name, value in self._latest.items()
            if name.startswith("loss/")
        ]

    def _pace(self) -> list[str]:
        """Steps/s over the last rows, and what time the rest takes at that pace; nothing while it is unknown."""
        (first_steps, first_seconds), (steps, seconds) = self._times[0], self._times[-1]
        if steps <= first_steps or seconds <= first_seconds:
            return []
        pace = (steps - first_steps) / (seconds - first_seconds)
        return [
            f"{format_number(pace)} steps/s",
            f"{format_duration(max(0, self._total - steps) / pace)} left",
        ]


def result_table(
    environment: str,
    model: str,
    planner: str,
    seed: int,
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
) -> Table:
    """What came of a run: `rows` are those of its metrics.jsonl, oldest first; `folder` is where everything lies."""
    final = dict(ChainMap(*map(dict, reversed(rows))))
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")  # a path stays whole, however narrow the terminal
    for name, value in (
        ("environment", environment),
        ("model", model),
        ("planner", planner),
        ("seed", seed),
    ):
        table.add_row(name, Text(str(value)))
    table.add_row("env steps", str(final.get("env_steps", 0)))
    table.add_row("evaluation return", _evaluation(final))
    table.add_row("wall time", _wall_time(final, rows))
    table.add_row("run folder", Text(str(folder)))
    return table


def _mean_and_std(values: Mapping[str, Any]) -> str:
    return f"{format_number(values['evaluation/return_mean'])} ± {format_number(values.get('evaluation/return_std'))}"


def _evaluation(final: Mapping[str, Any]) -> str:
    if "evaluation/return_mean" not in final:
        return "none"
    episodes = len(final.get("evaluation/returns", ()))
    return f"{_mean_and_std(final)} (min {format_number(final.get('evaluation/return_min'))}, {episodes} episodes)"


def _wall_time(final: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    parts = {
        name: sum(row.get(f"time/{name}") or 0.0 for row in rows)
        for name in ("collect", "learn", "evaluate")
    }
    return f"{format_duration(final.get('wall_seconds', 0.0))} ({', '.join(f'{name} {format_duration(seconds)}' for name, seconds in parts.items())})"
