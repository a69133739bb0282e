"""MetricsWriter: hands the rows of a run to its loggers, and checks repeated rows."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any

from mbrl.errors import RunError
from mbrl.loggers.base import AbstractDisplay, AbstractLogger
from mbrl.loggers.console import phase_summary
from mbrl.progress import Progress
from mbrl.runs.metric_diff import RowChecker
from mbrl.runs.schemas import check_row, finite_or_none

story = logging.getLogger(__name__)  # of the run, in run.log

Row = dict[str, Any]  # metrics by name, with `env_steps`


class MetricsWriter:
    """Counts the rows of a run and the seconds it took, over all resumes."""

    def __init__(self) -> None:
        self.num_rows = 0
        self._start = perf_counter()
        self._row_checker = RowChecker([])
        self._loggers: list[AbstractLogger] = []

    @property
    def wall_seconds(self) -> float:
        return perf_counter() - self._start

    def resume_at(self, num_rows: int, wall_seconds: float, row_checker: RowChecker) -> None:
        """Continues the count of an interrupted run, whose repeated rows `row_checker` holds."""
        self.num_rows, self._row_checker = num_rows, row_checker
        self._start = perf_counter() - wall_seconds

    def log(self, row: Row) -> None:
        """Hands a row to every logger, with None for numbers that are not finite or too large.

        Raises RunError for a metric that is not a number, and where a repeated row differs from
        before.
        """
        row = {"env_steps": row["env_steps"], "wall_seconds": self.wall_seconds} | row
        row = {name: finite_or_none(value) for name, value in row.items()}
        try:
            check_row(row)
        except ValueError as error:
            remedy = "Convert it, or leave it out, where it is computed."
            raise RunError(f"{error}. {remedy}") from error
        try:
            self._row_checker.check(row)
        except ValueError as difference:
            raise RunError(str(difference)) from difference
        for logger in self._loggers:
            logger.log(row)
        self.num_rows += 1
        if "time/learn" in row or "time/evaluate" in row:
            story.info("%d real steps: %s.", row["env_steps"], phase_summary(row))

    def show(self, progress: Progress) -> None:
        """Hands a report of the loop to the loggers that display it."""
        for logger in self._loggers:
            if isinstance(logger, AbstractDisplay):
                logger.show(progress)

    @contextmanager
    def attached(self, loggers: Iterable[AbstractLogger]) -> Iterator[None]:
        """Finishes every logger at the end of the block, also where a later one cannot be built."""
        with ExitStack() as stack:
            for logger in loggers:
                stack.push(_finish(logger))
                self._loggers.append(logger)
            yield


def _finish(logger: AbstractLogger) -> Callable[..., None]:
    """An exit callback that tells the logger how its block ended."""

    def on_exit(kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None:
            logger.finish("completed")
        else:
            logger.finish("failed" if issubclass(kind, Exception) else "interrupted")

    return on_exit
