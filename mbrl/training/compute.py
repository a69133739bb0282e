"""How a run's compiled functions are called: at once, or together with those of other runs (`lockstep.py`)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any


class AbstractCompute(ABC):
    """What stands between the story of a run, which is the host's, and its compiled functions."""

    @abstractmethod
    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function`, one of those compiled by `eqx.filter_jit`, makes of its arguments."""

    @abstractmethod
    def reached(self, env_steps: int) -> None:
        """Is told how many real steps the run has taken: whoever is behind comes first."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What provenance.json must say of it."""


class Alone(AbstractCompute):
    """A run on its own: calls are only calls."""

    def __call__(self, function, *arguments):
        return function(*arguments)

    def reached(self, env_steps):
        pass

    def facts(self):
        return {}


ALONE = Alone()
