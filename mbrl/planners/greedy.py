"""Greedy: one step ahead, then the value."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mbrl.models import rollout
from mbrl.models.value import ZeroValue
from mbrl.planners.base import AbstractPlanner, check_count, check_discount
from mbrl.types import AbstractActionSpace


class Greedy(AbstractPlanner):
    """The action that maximises reward and discounted value one imagined step ahead: the policy that the value stands for.

    Box actions, and MultiDiscrete ones of many combinations, are the best of `num_actions` samples. What search adds to a value
    is what a planner gains over this one.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "score_best": "Best imagined return of the candidates, in units of reward; mean over the episode's decisions.",
        "invalid_fraction": "Share of candidates whose imagined return was not a finite number; same mean.",
    }

    action_space: AbstractActionSpace
    discount: float = eqx.field(static=True)
    num_actions: int = eqx.field(static=True)  # candidates, for actions that cannot be counted

    def init(self, key):
        return ()

    def plan(self, key, model, observation, state):
        if isinstance(model.value_function, ZeroValue):
            raise ValueError(
                "planner=greedy with model/value=none sees one reward ahead and nothing else: "
                "choose model/value=learned, or another planner."
            )
        encode_key, candidates_key, step_key = jax.random.split(key, 3)
        start = rollout.start(encode_key, model, observation)
        candidates = self.action_space.candidates(candidates_key, self.num_actions)
        scores = jax.vmap(
            lambda action: rollout.plan_return(step_key, model, start, action[None], self.discount)
        )(candidates)
        info = {"score_best": jnp.max(scores), "invalid_fraction": jnp.mean(~jnp.isfinite(scores))}
        return candidates[jnp.argmax(scores)], state, info

    def __check_init__(self):
        check_discount(self.discount)
        check_count(self, "num_actions")
