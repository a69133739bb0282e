"""Curiosity: a world model in which it pays to go where the members disagree."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mbrl.models.base import AbstractWorldModel


class Curious(AbstractWorldModel):
    """A model whose rewards have a bonus for the members' disagreement on the next observation (Pathak et al. 2019).

    Collection plans in it, with a value of its own; evaluation never sees it.
    """

    inner: AbstractWorldModel
    bonus: Float[Array, ""]  # for full disagreement, in units of reward
    cautious: Bool[Array, ""]  # whether it keeps the model's pessimism and uncertainty_penalty

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
        penalty = jnp.where(self.cautious, prediction.penalty, 0.0)
        reward = (
            prediction.reward + prediction.penalty - penalty + self.bonus * prediction.disagreement
        )
        return prediction._replace(reward=reward, penalty=penalty)

    def collapse_particles(self, key, state):
        return self.inner.collapse_particles(key, state)

    def value(self, state):
        return self.inner.value(state)

    def aggregate(self, estimates):
        return jnp.where(self.cautious, self.inner.aggregate(estimates), jnp.mean(estimates))

    def with_normaliser(self, normaliser):
        return Curious(
            inner=self.inner.with_normaliser(normaliser), bonus=self.bonus, cautious=self.cautious
        )

    def losses(self, key, transitions):
        return self.inner.losses(key, transitions)


def curious(
    model: AbstractWorldModel, scale: float, bonus_floor_until_first_termination: bool = False
) -> Curious:
    """The model with a bonus of `scale` times the size of a typical reward, and room for it in what its values can be.

    The size is the root mean square of those seen, so that a large reward, seldom earned, does not make curiosity outweigh it. Where a
    goal is awaited, it is the largest cost seen, if that is more, until an episode has ended: an agent that idles to avoid costs would
    else make its typical reward smaller and smaller, and curiosity with it. Where no reward has been seen yet, and curiosity is all
    there is, it is 1.
    """
    seen = model.normaliser
    size = seen.reward_rms
    if bonus_floor_until_first_termination:
        size = jnp.where(seen.seen_terminal, size, jnp.maximum(size, -seen.reward_min))
    size = jnp.where(size > 0, size, 1.0)
    bonus = scale * size
    enlarged = eqx.tree_at(
        lambda normaliser: (
            normaliser.reward_max,
            normaliser.terminal_reward_max,
            normaliser.reward_rms,
        ),
        seen,
        (seen.reward_max + bonus, seen.terminal_reward_max + bonus, size),
    )
    return Curious(inner=model.with_normaliser(enlarged), bonus=bonus, cautious=jnp.array(False))


def incurious(model: AbstractWorldModel) -> Curious:
    """The model as it is, in the form of a curious one, so that what is compiled for one serves the other."""
    return Curious(inner=model, bonus=jnp.zeros(()), cautious=jnp.array(True))
