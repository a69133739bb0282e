"""What the loop asks of a logger."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class AbstractLogger(ABC):
    """Takes rows of metrics (`loggers/metrics.py` says what each means), and shows or keeps them.

    A constructor is given more than each logger needs (the run's folder, config, name, group, budget of steps), and leaves
    the rest unused.
    """

    @abstractmethod
    def log(self, row: Mapping[str, Any]) -> None:
        """Takes one row: always `env_steps` and `wall_seconds`, and some metrics. Values are Python floats, ints, or lists of them."""

    @abstractmethod
    def finish(self, status: str) -> None:
        """Ends the record: `completed`, `failed` or `interrupted`. Called exactly once, whatever happens."""


def finite_or_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as strict JSON has them: NaN and infinity become None. Raises TypeError for what JSON cannot hold."""
    # Python writes NaN, which is no JSON; reading that back, it lets us choose what to make of it.
    return json.loads(json.dumps(values), parse_constant=lambda name: None)
