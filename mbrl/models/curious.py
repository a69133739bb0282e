"""Curiosity: a world model in which it pays to go where the members disagree."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from mbrl.models.base import AbstractWorldModel


class Curious(AbstractWorldModel):
    """A model whose rewards have a bonus for the members' disagreement on the next observation (Pathak et al. 2019).

    Collection plans in it, with a value of its own; evaluation never sees it.
    """

    inner: AbstractWorldModel
    bonus: Float[Array, ""]  # for full disagreement, in units of reward

    @property
    def parts(self):
        return self.inner.parts

    @property
    def value_function(self):
        return self.inner.value_function

    @property
    def action_space(self):
        return self.inner.action_space

    @property
    def normaliser(self):
        return self.inner.normaliser

    @property
    def num_members(self):
        return self.inner.num_members

    def encode(self, key, observation):
        return self.inner.encode(key, observation)

    def step(self, key, state, action):
        prediction = self.inner.step(key, state, action)
        return prediction._replace(reward=prediction.reward + self.bonus * prediction.disagreement)

    def value(self, state):
        return self.inner.value(state)

    def combine(self, estimates):
        return self.inner.combine(estimates)

    def normalised(self, normaliser):
        return Curious(inner=self.inner.normalised(normaliser), bonus=self.bonus)

    def losses(self, key, transitions):
        return self.inner.losses(key, transitions)


def curious(model: AbstractWorldModel, scale: float) -> Curious:
    """The model with a bonus of `scale` times the largest reward there can be, and room for it in what its values can be.

    Where no reward has been seen yet, and curiosity is all there is, the unit is 1.
    """
    largest = model.normaliser.largest_reward
    bonus = scale * jnp.where(largest > 0, largest, 1.0)
    enlarged = eqx.tree_at(lambda normaliser: normaliser.reward_max, model.normaliser, model.normaliser.reward_max + bonus)
    return Curious(inner=model.normalised(enlarged), bonus=bonus)
