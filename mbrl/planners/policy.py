"""Policy: acts by the model's policy, without planning."""

from typing import ClassVar

import equinox as eqx

from mbrl.planners.base import AbstractPlanner, Decision
from mbrl.types import AbstractActionSpace


class PolicyPlanner(AbstractPlanner):
    """A sample of the model's policy, or its mode; uniformly random where none is learned.

    The difference between another planner's return and this one's is what planning adds.
    """

    METRICS: ClassVar[dict[str, str]] = {}

    action_space: AbstractActionSpace
    use_mode: bool = eqx.field(static=True)

    def init(self, key):
        return ()

    def plan(self, key, model, belief, state):
        policy = model.policy(belief)
        return Decision(policy.mode() if self.use_mode else policy.sample(key), state, {})
