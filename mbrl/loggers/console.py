"""Progress of a run on the terminal, and the table of its result."""

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
from mbrl.run_info import RunInfo
from mbrl.tables import format_duration, format_number

NUM_LINES = 10  # plain lines per run, besides one for each evaluation
SPEED_WINDOW = 50  # rows over which steps/s are averaged


class ConsoleLogger(AbstractLogger):
    """Shows steps, the latest returns and losses, steps/s and the time left.

    On a terminal it is one display that is redrawn. Elsewhere, or where other runs print to the
    same terminal (`run_info.owns_terminal` is False), it prints a line for each evaluation and for
    each tenth of the run; beside other runs, each line begins with the name of the run's folder.
    """

    def __init__(self, run_info: RunInfo, console: Console | None = None):
        self._total = run_info.config["training"]["env_steps"]
        self._console = console or Console()
        self._redraws = self._console.is_terminal and run_info.owns_terminal
        self._prefix = "" if run_info.owns_terminal else f"{run_info.folder.name}: "
        self._latest: dict[str, Any] = {}
        # (env_steps, wall_seconds) of the last rows
        self._times: deque[tuple[int, float]] = deque(maxlen=SPEED_WINDOW)
        self._printed_steps = 0  # env_steps of the last plain line
        # It keeps moving during long phases, which log nothing.
        self._spinner = Spinner("dots")
        self._live: Live | None = None
        self._moved_handlers: list[tuple[logging.StreamHandler, Any]] = []

    def log(self, row: Mapping[str, Any]) -> None:
        if self._redraws:
            self._store(row)
            self._display().update(self._render())
            return
        # A due line waits for the next step: it then shows all rows of one step. An evaluation is
        # the last row of its step.
        due = self._unprinted_steps() >= self._total / NUM_LINES
        if due and row["env_steps"] > self._latest["env_steps"]:
            self._print_line()
        self._store(row)
        if "evaluation/return_mean" in row:
            self._print_line()

    def finish(self, status: str) -> None:
        if self._live is not None:
            self._live.update(self._render(status), refresh=True)
            for handler, stream in self._moved_handlers:
                handler.setStream(stream)
            self._moved_handlers.clear()
            self._live.stop()
        elif self._unprinted_steps() > 0:
            self._print_line()

    def _store(self, row: Mapping[str, Any]) -> None:
        self._latest.update(row)
        self._times.append((row["env_steps"], row["wall_seconds"]))

    def _unprinted_steps(self) -> int:
        return self._latest.get("env_steps", 0) - self._printed_steps

    def _display(self) -> Live:
        """The display, started at the first row: a run that cannot start shows none."""
        if self._live is not None:
            return self._live
        streams = {sys.stdout: "stdout", sys.stderr: "stderr"}
        self._live = Live(console=self._console, refresh_per_second=4)
        self._live.start()
        # Rich replaced sys.stdout and sys.stderr, to print above the display what they receive.
        # Log handlers still hold the old streams.
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in streams:
                self._moved_handlers.append((handler, handler.stream))
                handler.setStream(getattr(sys, streams[handler.stream]))
        return self._live

    def _render(self, status: str | None = None) -> Group:
        steps = self._latest["env_steps"]
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text("■") if status else self._spinner,
            ProgressBar(self._total, min(steps, self._total), width=30),
            f"{steps}/{self._total} steps",
            status or "  ".join(self._speed()),
        )
        returns, losses = "  ".join(self._returns()), "  ".join(self._losses())
        return Group(bar, Text(returns), Text(losses, style="dim"))

    def _print_line(self) -> None:
        steps, width = self._latest["env_steps"], len(str(self._total))
        parts = [
            f"{steps:>{width}}/{self._total} steps",
            format_duration(self._latest["wall_seconds"]),
            *self._returns(),
            *self._losses(),
            *self._speed(),
        ]
        line = self._prefix + "  ".join(parts)
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)
        self._printed_steps = steps

    def _returns(self) -> list[str]:
        parts = []
        if "episode/return" in self._latest:
            parts.append(f"episode return {format_number(self._latest['episode/return'])}")
        if "evaluation/return_mean" in self._latest:
            parts.append(f"evaluation return {_mean_and_std(self._latest)}")
        return parts

    def _losses(self) -> list[str]:
        return [
            f"{name} {format_number(value)}"
            for name, value in self._latest.items()
            if name.startswith("loss/")
        ]

    def _speed(self) -> list[str]:
        """Steps/s over the last rows, and the time left at that speed; empty while unknown."""
        (first_steps, first_seconds), (steps, seconds) = self._times[0], self._times[-1]
        if steps <= first_steps or seconds <= first_seconds:
            return []
        speed = (steps - first_steps) / (seconds - first_seconds)
        seconds_left = max(0, self._total - steps) / speed
        return [f"{format_number(speed)} steps/s", f"{format_duration(seconds_left)} left"]


def result_table(
    environment: str,
    model: str,
    planner: str,
    seed: int,
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
) -> Table:
    """The result of a run. `rows` are those of its metrics.jsonl, oldest first."""
    final = dict(ChainMap(*map(dict, reversed(rows))))
    evaluation = "none"
    if "evaluation/return_mean" in final:
        worst = format_number(final.get("evaluation/return_min"))
        episodes = len(final.get("evaluation/returns", ()))
        evaluation = f"{_mean_and_std(final)} (min {worst}, {episodes} episodes)"
    phases = []
    for phase in ("collect", "learn", "evaluate"):
        seconds = sum(row.get(f"time/{phase}") or 0.0 for row in rows)
        phases.append(f"{phase} {format_duration(seconds)}")
    wall_time = format_duration(final.get("wall_seconds", 0.0))
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")  # a narrow terminal folds a path and loses none of it
    cells = {
        "environment": environment,
        "model": model,
        "planner": planner,
        "seed": str(seed),
        "env steps": str(final.get("env_steps", 0)),
        "evaluation return": evaluation,
        "wall time": f"{wall_time} ({', '.join(phases)})",
        "run folder": str(folder),
    }
    for name, cell in cells.items():
        table.add_row(name, Text(cell))
    return table


def _mean_and_std(row: Mapping[str, Any]) -> str:
    mean, std = row["evaluation/return_mean"], row.get("evaluation/return_std")
    return f"{format_number(mean)} ± {format_number(std)}"
