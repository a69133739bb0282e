"""Random: the baseline that every planner must beat."""

from typing import ClassVar

from mbrl.planners.base import AbstractPlanner, Decision
from mbrl.types import AbstractActionSpace


class RandomPlanner(AbstractPlanner):
    """Uniformly random actions; ignores the model."""

    METRICS: ClassVar[dict[str, str]] = {}

    action_space: AbstractActionSpace

    def init(self, key):
        return ()

    def plan(self, key, model, belief, state):
        return Decision(self.action_space.sample(key), state, {})
