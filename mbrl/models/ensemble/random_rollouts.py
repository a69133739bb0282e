"""Rollouts of random policies from real states, to states that the agent may reach but has not.

Independent random actions stay close to the start, since they cancel out. A random linear policy,
a = W z + b on the standardised state z (Mania et al. 2018 search over such policies), acts
consistently and covers more of the reachable states in a few steps.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.models.ensemble.world_model import WorldModel
from mbrl.models.rollout import rollout
from mbrl.types import AbstractActionSpace

MAX_STANDARDISED = 10.0  # standard deviations from the mean; no model is accurate beyond
RANDOM_FRACTION = 0.2  # of actions that are uniformly random
# Standard deviation of W z: most actions of a Box are then at its bounds, which reach farthest.
WEIGHT_SCALE = 2.0


class LinearPolicy(eqx.Module):
    """The action nearest to W z + b, or a random one; z is the flat, standardised state."""

    action_space: AbstractActionSpace
    mean: Float[Array, " state"]
    std: Float[Array, " state"]
    weights: Float[Array, "features state"]
    bias: Float[Array, " features"]

    def __call__(self, key: PRNGKeyArray, state: PyTree) -> Shaped[Array, "*action"]:
        coin_key, action_key = jax.random.split(key)
        standardised = (_flatten(state) - self.mean) / self.std
        standardised = jnp.clip(standardised, -MAX_STANDARDISED, MAX_STANDARDISED)
        linear = self.action_space.from_features(self.weights @ standardised + self.bias)
        is_random = jax.random.bernoulli(coin_key, RANDOM_FRACTION)
        return jnp.where(is_random, self.action_space.sample(action_key), linear)


def random_policy_rollouts(
    key: PRNGKeyArray, model: WorldModel, starts: PyTree, num_steps: int
) -> PyTree:
    """All states of one rollout from each start, each under its own random policy.

    The particles are collapsed onto one after each step, so that each state has a single value.

    Leaves of `starts` lead with [rollouts], those of the result with [rollouts * (num_steps + 1)].
    """
    flat = jax.vmap(_flatten)(starts)
    mean, std = jnp.mean(flat, axis=0), jnp.std(flat, axis=0)
    std = jnp.where(std > 1e-6, std, 1.0)  # a constant entry has no scale
    num_rollouts, size = flat.shape
    num_features = model.action_space.num_features

    def one_rollout(key: PRNGKeyArray, start: PyTree) -> PyTree:
        weights_key, bias_key, rollout_key = jax.random.split(key, 3)
        weights = WEIGHT_SCALE / size**0.5 * jax.random.normal(weights_key, (num_features, size))
        bias = jax.random.normal(bias_key, (num_features,))
        policy = LinearPolicy(model.action_space, mean, std, weights, bias)
        states = rollout(rollout_key, model, start, policy, num_steps, model.collapse_particles)
        return jax.vmap(lambda state: _reset_if_diverged(state, start, mean, std))(states)

    states = jax.vmap(one_rollout)(jax.random.split(key, num_rollouts), starts)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), states)


def _reset_if_diverged(
    state: PyTree, start: PyTree, mean: Float[Array, " state"], std: Float[Array, " state"]
) -> PyTree:
    """The state, or the start where the model has diverged, since one bad state ruins the value."""
    distance = jnp.abs(_flatten(state) - mean) / std
    is_near = jnp.all(distance <= MAX_STANDARDISED)  # false for NaN, too
    return jax.tree.map(lambda leaf, start: jnp.where(is_near, leaf, start), state, start)


def _flatten(state: PyTree) -> Float[Array, " state"]:
    return ravel_pytree(state)[0]
