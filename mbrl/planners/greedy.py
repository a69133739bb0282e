"""Greedy: one step of lookahead, then the value function."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mbrl.models import rollout
from mbrl.planners.base import AbstractPlanner, Decision, check_count, check_discount
from mbrl.types import AbstractActionSpace


class Greedy(AbstractPlanner):
    """Maximises reward plus discounted value after one imagined step: the value's greedy policy.

    Box actions, and discrete ones of which there are more than 64, are the best of `num_actions`
    samples.
    The difference between another planner's return and this one's is what search adds to a value.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "score_best": "Best imagined return of the candidates, in units of reward; "
        "mean over the episode's decisions.",
        "invalid_fraction": "Fraction of candidates whose imagined return is not finite; "
        "mean over the episode's decisions.",
    }

    action_space: AbstractActionSpace
    discount: float = eqx.field(static=True)
    num_actions: int = eqx.field(static=True)  # candidates, for actions that are not enumerated

    def init(self, key):
        return ()

    def plan(self, key, model, belief, state):
        # The first key has no use any more; without it, all results would change.
        _, candidates_key, step_key = jax.random.split(key, 3)
        start = rollout.start(model, belief)
        candidates = self.action_space.candidates(candidates_key, self.num_actions)
        scores = jax.vmap(
            lambda action: rollout.plan_return(step_key, model, start, action[None], self.discount)
        )(candidates)
        info = {"score_best": jnp.max(scores), "invalid_fraction": jnp.mean(~jnp.isfinite(scores))}
        return Decision(candidates[jnp.argmax(scores)], state, info)

    def __check_init__(self):
        check_discount(self.discount)
        check_count(self, "num_actions")
