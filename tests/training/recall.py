"""A world model with a memory, to show what reaches it, and a learner that never changes it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from mbrl.models.base import AbstractLearner, AbstractWorldModel, Prediction
from mbrl.models.policy import Uniform
from mbrl.types import Discrete


class Recall(AbstractWorldModel):
    """Its belief is a number of observations, and the `recalled` sum of them and the actions."""

    episode: Int[Array, ""]  # the one that the learner made the model for; -1 for evaluation

    def initial(self):
        return jnp.zeros((), int), jnp.zeros((), int)

    def observe(self, key, belief, action, observation, is_first):
        count, recalled = jax.tree.map(lambda old: jnp.where(is_first, 0, old), belief)
        return count + 1, recalled + (count + 1) * (3 * action + observation[0].astype(int))

    def step(self, key, state, action):
        return Prediction(state, jnp.zeros(1), jnp.ones(1))

    def value(self, state):
        return jnp.zeros(1)

    def policy(self, state):
        return Uniform(Discrete(2))

    def aggregate(self, estimates):
        return estimates[0]

    def return_bounds(self, discount):
        return jnp.zeros(()), jnp.zeros(())


def recalled(observations: Sequence, actions: Sequence) -> int:
    """The sum after all these observations of an episode and the actions between them."""
    steps = zip([0, *actions], observations, strict=True)
    return sum(
        count * (3 * int(action) + int(observation[0]))
        for count, (action, observation) in enumerate(steps, start=1)
    )


class RecallLearner(AbstractLearner):
    """Learns nothing."""

    def init(self, key, observation_size, action_space):
        return ()

    def update(self, key, state, replay):
        return state, {}

    def model(self, state):
        return Recall(jnp.array(-1))

    def collection_model(self, state, episode):
        return Recall(jnp.array(episode))

    def parameters(self, state):
        return {}
