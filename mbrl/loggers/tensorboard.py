"""TensorBoard: the same rows as event files, which `tensorboard --logdir outputs` shows."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from mbrl.extras import optional_import
from mbrl.loggers.base import AbstractLogger
from mbrl.regular_files import open_regular
from mbrl.run_info import RunInfo

FOLDER = "tensorboard"
AXES = ("env_steps", "wall_seconds")  # of a row: an event has them as its step and its time


class TensorBoardLogger(AbstractLogger):
    """Writes rows to an event file in `<folder>/tensorboard`, at once.

    The x axis is env_steps. Numbers are scalars, lists are histograms, and None is
    left out. The settings are hyperparameters, for the tab HParams.

    A resumed run writes a new event file with the rows that it keeps of metrics.jsonl, and removes
    the old one, which may have rows that are computed again.
    """

    def __init__(self, run_info: RunInfo):
        self._summaries = _import("compat.proto.summary_pb2")
        self._events = _import("compat.proto.event_pb2")
        self._make_histogram = _import("plugins.histogram.summary_v2").histogram_pb
        rows = list(_kept_rows(run_info))
        self._start = time.time() - (rows[-1]["wall_seconds"] if rows else 0.0)
        folder = run_info.folder / FOLDER
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        writer = _import("summary.writer.event_file_writer")
        self._writer = writer.EventFileWriter(str(folder))
        # A TensorBoard that is open drops all that it has read of the old file.
        session = self._events.SessionLog(status=self._events.SessionLog.START)
        self._write(0, 0.0, session_log=session)
        hyperparameters = dict(_hyperparameters(run_info))
        summary = _import("plugins.hparams.summary_v2").hparams_pb(hyperparameters)
        self._write(0, 0.0, summary=summary)
        for row in rows:
            self.log(row)
        self._writer.flush()

    def log(self, row: Mapping[str, Any]) -> None:
        summary = self._summaries.Summary()
        for name, value in row.items():
            if isinstance(value, list):
                finite = [each for each in value if each is not None]
                if finite:
                    summary.MergeFrom(self._make_histogram(name, finite))
            elif value is not None and name not in AXES:
                summary.value.add(tag=name, simple_value=value)
        self._write(row["env_steps"], row["wall_seconds"], summary=summary)
        self._writer.flush()

    def finish(self, status: str) -> None:
        self._writer.close()

    def _write(self, env_steps: int, wall_seconds: float, **content: Any) -> None:
        wall_time = self._start + wall_seconds  # so that resumed runs show no gap
        self._writer.add_event(self._events.Event(step=env_steps, wall_time=wall_time, **content))


def _import(module: str) -> Any:
    return optional_import(f"tensorboard.{module}", "tensorboard", option="logger=tensorboard")


def _kept_rows(run_info: RunInfo) -> Iterator[dict[str, Any]]:
    """The rows of metrics.jsonl that a resumed run keeps."""
    if run_info.num_rows > 0:
        with open_regular(run_info.folder / "metrics.jsonl") as file:
            for _, line in zip(range(run_info.num_rows), file, strict=False):
                yield json.loads(line)


def _hyperparameters(run_info: RunInfo) -> Iterator[tuple[str, Any]]:
    """The chosen options, and every setting by its full name but for those of loggers."""
    yield from run_info.choices.items()
    for name, settings in run_info.config.items():
        if name != "logger":
            yield from _leaves(name, settings)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in value:
            yield from _leaves(f"{name}.{key}", value[key])
    elif value is not None:
        yield name, value if isinstance(value, bool | int | float | str) else str(value)
