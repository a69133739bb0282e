"""Random: the baseline that every planner must beat."""

from typing import ClassVar

from mbrl.planners.base import AbstractPlanner
from mbrl.types import AbstractActionSpace


class RandomPlanner(AbstractPlanner):
    """Uniformly random actions; ignores the model."""

    METRICS: ClassVar[dict[str, str]] = {}

    action_space: AbstractActionSpace

    def init(self, key):
        return ()

    def plan(self, key, model, observation, state):
        return self.action_space.sample(key), state, {}
