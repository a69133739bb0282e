"""Loggers are finished with the run's status, also where one of them fails."""

import signal
from contextlib import nullcontext

import pytest

from mbrl.errors import ConfigError, RunError
from mbrl.loggers.base import AbstractLogger
from mbrl.metrics_writer import MetricsWriter
from mbrl.runs.metric_diff import RowChecker
from mbrl.runs.signals import Interrupted


class RecordingLogger(AbstractLogger):
    """Records its rows and statuses; `finish` may raise."""

    def __init__(self, error: Exception | None = None):
        self.rows: list[dict] = []
        self.statuses: list[str] = []
        self.error = error

    def log(self, row):
        self.rows.append(dict(row))

    def finish(self, status):
        self.statuses.append(status)
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (None, "completed"),
        (RuntimeError("a fault"), "failed"),
        (Interrupted(signal.SIGINT, "a signal"), "interrupted"),
    ],
)
def test_loggers_are_told_how_a_run_ended(end, status):
    loggers = [RecordingLogger(), RecordingLogger()]
    with pytest.raises(type(end)) if end else nullcontext(), MetricsWriter().attached(loggers):
        if end:
            raise end
    assert [logger.statuses for logger in loggers] == [[status], [status]]


def test_a_logger_is_finished_where_a_later_one_cannot_be_built():
    first = RecordingLogger()

    def loggers():
        yield first
        raise ConfigError("the second cannot be built")

    with pytest.raises(ConfigError, match="the second"), MetricsWriter().attached(loggers()):
        raise AssertionError("nothing runs")
    assert first.statuses == ["failed"]


def test_a_logger_is_finished_where_another_fails_to():
    first, last = RecordingLogger(), RecordingLogger(OSError("the disk is full"))
    attached = MetricsWriter().attached([first, last])
    with pytest.raises(OSError, match="the disk is full"), attached:
        pass
    assert (first.statuses, last.statuses) == (["failed"], ["completed"])


def test_rows_get_the_time_since_the_first_start():
    logger, writer = RecordingLogger(), MetricsWriter()
    writer.resume_at(5, 100.0, RowChecker([]))
    with writer.attached([logger]):
        writer.log({"env_steps": 1, "loss/value": 2.0})
    assert writer.num_rows == 6
    assert logger.rows[0]["wall_seconds"] >= 100.0


def test_numbers_that_are_not_finite_or_too_large_are_none():
    logger, writer = RecordingLogger(), MetricsWriter()
    nan, inf = float("nan"), float("inf")
    with writer.attached([logger]):
        writer.log({"env_steps": 1, "a": nan, "b": -inf, "c": 2e100, "d": 10**400, "e": 1e99})
        writer.log({"env_steps": 1, "evaluation/returns": [nan, 1.5]})
    first, second = (list(row.values())[2:] for row in logger.rows)
    assert first == [None, None, None, None, 1e99]
    assert second == [[None, 1.5]]


@pytest.mark.parametrize("value", ["text" * 100, True, [1.0], {}, object()])
def test_a_metric_that_is_not_a_number_is_refused_before_any_logger_has_it(value):
    logger, writer = RecordingLogger(), MetricsWriter()
    refused = pytest.raises(RunError, match=r"^loss/mine=.{2,50}: must be a number\. Convert it")
    with writer.attached([logger]), refused:
        writer.log({"env_steps": 1, "loss/mine": value})
    assert logger.rows == []


def test_a_repeated_row_that_differs_is_refused():
    writer = MetricsWriter()
    writer.resume_at(0, 0.0, RowChecker([{"env_steps": 1, "loss/value": 2.0}]))
    with pytest.raises(RunError, match="loss/value"):
        writer.log({"env_steps": 1, "loss/value": 3.0})
