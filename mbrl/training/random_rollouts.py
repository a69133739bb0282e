"""Wandering: imagined walks from real states, under policies drawn at random, to where the agent may go but has not been.

A walk of independent random actions stays close to where it began: what one action does, the next undoes. A random linear
policy, a = W z + b on the standardised state z (Mania et al. 2018 search over such policies), keeps to a purpose: it swings,
balances, drives off. So a few steps spread over what can be reached.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.models import rollout
from mbrl.models.base import AbstractWorldModel
from mbrl.types import AbstractActionSpace

MAX_STANDARDISED = (
    10.0  # standard deviations of the data from its mean, beyond which a model knows nothing
)
RANDOM_SHARE = 0.2  # of a walk's actions that are random instead
WEIGHT_SCALE = 2.0  # standard deviation of W z: most actions of a Box are then at its bounds, which reach farthest


class LinearPolicy(eqx.Module):
    """The action nearest to W z + b, or now and then a random one; z is the state, standardised and as a flat vector."""

    action_space: AbstractActionSpace
    mean: Float[Array, " state"]
    std: Float[Array, " state"]
    weights: Float[Array, "features state"]
    bias: Float[Array, " features"]

    def __call__(self, key: PRNGKeyArray, state: PyTree) -> Shaped[Array, "*action"]:
        coin_key, action_key = jax.random.split(key)
        standardised = jnp.clip(
            (_flat(state) - self.mean) / self.std, -MAX_STANDARDISED, MAX_STANDARDISED
        )
        chosen = self.action_space.from_features(self.weights @ standardised + self.bias)
        return jnp.where(
            jax.random.bernoulli(coin_key, RANDOM_SHARE),
            self.action_space.sample(action_key),
            chosen,
        )


def random_policy_rollouts(
    key: PRNGKeyArray, model: AbstractWorldModel, starts: PyTree, num_steps: int
) -> PyTree:
    """All states of one walk from each of `starts` (leaves lead with [walks]); the result's lead with [walks * (num_steps + 1)]."""
    flat = jax.vmap(_flat)(starts)
    mean, std = jnp.mean(flat, axis=0), jnp.std(flat, axis=0)
    std = jnp.where(std > 1e-6, std, 1.0)  # what never varies has no scale of its own
    num_walks, size = flat.shape
    num_features = model.action_space.num_features

    def walk(key: PRNGKeyArray, start: PyTree) -> PyTree:
        weights_key, bias_key, walk_key = jax.random.split(key, 3)
        weights = WEIGHT_SCALE / size**0.5 * jax.random.normal(weights_key, (num_features, size))
        bias = jax.random.normal(bias_key, (num_features,))
        policy = LinearPolicy(model.action_space, mean, std, weights, bias)
        states = rollout.rollout(walk_key, model, start, policy, num_steps)
        return jax.vmap(lambda state: _reset_if_diverged(state, start, mean, std))(states)

    walks = jax.vmap(walk)(jax.random.split(key, num_walks), starts)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), walks)


def _reset_if_diverged(
    state: PyTree, start: PyTree, mean: Float[Array, " state"], std: Float[Array, " state"]
) -> PyTree:
    """The state, but the walk's start where the model has diverged: one such state would spoil every weight of the value."""
    distance = jnp.abs(_flat(state) - mean) / std
    near = jnp.all(distance <= MAX_STANDARDISED)  # false for what is no number, too
    return jax.tree.map(lambda leaf, instead: jnp.where(near, leaf, instead), state, start)


def _flat(state: PyTree) -> Float[Array, " state"]:
    return ravel_pytree(state)[0]
