"""The interface of a logger."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from mbrl.progress import Progress


class AbstractLogger(ABC):
    """Receives a run's rows of metrics and shows or stores them.

    `mbrl/loggers/metrics.py` documents each metric. A constructor takes `run_info`, the RunInfo of
    the run (folder, name, config, …); its other parameters are the settings of its YAML file:

        class CsvLogger(AbstractLogger):
            def __init__(self, run_info: RunInfo, delimiter: str = ","): ...

        # conf/logger/csv.yaml
        csv:
          _target_: my_package.CsvLogger
          delimiter: ";"

    The run fails where a logger raises an exception.
    """

    @abstractmethod
    def log(self, row: Mapping[str, Any]) -> None:
        """Receive one row: `env_steps`, `wall_seconds` and some metrics.

        Values are Python floats, ints, or lists of them, and None for numbers that are not finite
        or are beyond 1e100.
        """

    @abstractmethod
    def finish(self, status: str) -> None:
        """End the record. Called exactly once, however the run ends.

        `status` is `completed`, `failed` or `interrupted`.
        """


class AbstractDisplay(AbstractLogger):
    """A logger that also shows what the run is doing between its rows."""

    @abstractmethod
    def show(self, progress: Progress) -> None:
        """Receive a report: at every phase, and at every step of collection and evaluation."""
