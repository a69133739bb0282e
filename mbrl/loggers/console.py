"""Progress of a run on the terminal, and the table of its result."""

import logging
import sys
import threading
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from time import perf_counter
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mbrl.loggers.base import AbstractDisplay
from mbrl.progress import Progress
from mbrl.run_info import RunInfo
from mbrl.tables import format_duration, format_number
from mbrl.terminal import Console, RunConsole


@contextmanager
def starting(owns_terminal: bool) -> Iterator[None]:
    """Shows, on a terminal, that a run is being prepared: seconds in which nothing is logged."""
    console = Console()
    with console.status("starting") if owns_terminal and console.is_terminal else nullcontext():
        yield


class ConsoleLogger(AbstractDisplay):
    """Shows steps, the phase, the time left, and the latest returns and losses.

    On a terminal it is one display that is redrawn. Elsewhere, it prints a line for each phase of
    learning and each evaluation. Where other runs print to the same terminal
    (`run_info.owns_terminal` is False), it prints evaluations only, after the name of the run's
    folder.
    """

    def __init__(self, run_info: RunInfo, console: Console | None = None):
        self._total = int(run_info.config["training"]["env_steps"])
        self._console = console or RunConsole(file=sys.stdout)  # which `show` replaces
        self._owns_terminal = run_info.owns_terminal
        self._redraws = self._console.is_terminal and run_info.owns_terminal
        self._prefix = "" if run_info.owns_terminal else f"{run_info.folder.name}: "
        self._latest: dict[str, Any] = {}  # replaced, not changed: the display's thread reads it
        self._progress = Progress("collecting", 0)
        self._status = ""  # once the run has ended
        # It keeps moving during long phases, which report nothing.
        self._spinner = Spinner("dots")
        self._live: Live | None = None
        self._streams = ExitStack()

    def show(self, progress: Progress) -> None:
        self._progress = progress
        if self._redraws and self._live is None:  # a run that cannot start shows no display
            # What is printed meanwhile appears above the display.
            self._streams.enter_context(_lines_above(self._console))
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=4,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def log(self, row: Mapping[str, Any]) -> None:
        self._latest = self._latest | dict(row)
        if self._redraws:
            return
        if "evaluation/return_mean" in row:
            self._print_line(phase_summary(row))
        elif "time/learn" in row and self._owns_terminal:
            self._print_line("  ".join([phase_summary(row), *self._returns()[:1]]))

    def finish(self, status: str) -> None:
        if self._live is not None:
            self._status = status
            self._streams.close()
            self._live.stop()  # after a last refresh
        elif status != "completed" and self._latest:
            self._print_line(status)

    def _render(self) -> Group:
        steps = max(self._progress.env_steps, self._latest.get("env_steps", 0))
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            "■" if self._status else self._spinner,
            ProgressBar(self._total, min(steps, self._total), width=30),
            f"{steps}/{self._total} steps",
            "" if self._status else _time_left(self._progress),
        )
        returns, losses = "  ".join(self._returns()), "  ".join(self._losses())
        phase = self._status or _phase(self._progress)
        return Group(bar, phase, returns, Text(losses, style="dim"))

    def _print_line(self, event: str) -> None:
        steps, width = self._latest["env_steps"], len(str(self._total))
        seconds = format_duration(self._latest["wall_seconds"])
        time_left = _time_left(self._progress) if steps < self._total else ""
        parts = [f"{steps:>{width}}/{self._total} steps", seconds, event, time_left]
        self._console.say(self._prefix + "  ".join(filter(None, parts)))

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


class _LinesAbove:
    """A stream whose lines a console prints above its display, without breaking long ones.

    Rich's own redirection breaks them, and with them paths and commands. Colours are dropped, since
    the text may be that of others. Everything but writing is that of the original stream.
    """

    def __init__(self, console: Console, stream: Any):
        self._console, self._stream = console, stream
        self._line = ""
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._line = (self._line + text).split("\n")
            for line in lines:
                self._console.say(Text.from_ansi(line).plain)
        return len(text)

    def flush(self) -> None:
        """Nothing, since a display has whole lines above it."""

    def finish(self) -> None:
        """Print what has no end of line."""
        if self._line:
            self.write("\n")


@contextmanager
def _lines_above(console: Console) -> Iterator[None]:
    """Replaces stdout and stderr, also for the log handlers that hold them."""
    streams = {stream: _LinesAbove(console, stream) for stream in (sys.stdout, sys.stderr)}
    handlers = [
        (handler, handler.stream)
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream in streams
    ]
    replaced: Any = streams  # of the type of what they replace, as far as it is used
    with redirect_stdout(replaced[sys.stdout]), redirect_stderr(replaced[sys.stderr]):
        for handler, original in handlers:
            handler.setStream(replaced[original])
        try:
            yield
        finally:
            for handler, original in handlers:
                handler.setStream(original)
            for stream in streams.values():
                stream.finish()


def phase_summary(row: Mapping[str, Any]) -> str:
    """What the phase that logged `row` did, in a few words."""
    if "evaluation/return_mean" in row:
        episodes = len(row.get("evaluation/returns", ()))
        return f"evaluated: return {_mean_and_std(row)}, {episodes} episodes"
    return f"learned in {row['time/learn']:.1f} s"


def _phase(progress: Progress) -> str:
    phase: str = progress.phase
    if progress.num_episodes:
        phase += f", {progress.episodes} of {progress.num_episodes} episodes finished"
        phase += f", step {progress.episode_steps}"
    return f"compiling, then {phase}" if progress.compiling else phase


def _time_left(progress: Progress) -> str:
    if progress.ends_at is None:
        return ""
    return f"{format_duration(max(0.0, progress.ends_at - perf_counter()))} left"


def result_table(
    environment: str,
    model: str,
    planner: str,
    seed: int,
    rows: Sequence[Mapping[str, Any]],
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
    table.add_column(overflow="fold")
    cells = {
        "environment": environment,
        "model": model,
        "planner": planner,
        "seed": str(seed),
        "env steps": str(final.get("env_steps", 0)),
        "evaluation return": evaluation,
        "wall time": f"{wall_time} ({', '.join(phases)})",
    }
    for name, cell in cells.items():
        table.add_row(name, cell)
    return table


def _mean_and_std(row: Mapping[str, Any]) -> str:
    mean, std = row["evaluation/return_mean"], row.get("evaluation/return_std")
    return f"{format_number(mean)} ± {format_number(std)}"
