"""Exploration: what collection does to the planner's actions. Evaluation never explores."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from mbrl.types import AbstractActionSpace


def epsilon_greedy(
    key: PRNGKeyArray, action_space: AbstractActionSpace, action: Shaped[Array, "*action"], epsilon: Float[Array, ""]
) -> Shaped[Array, "*action"]:
    """The planner's action, but with probability `epsilon` a uniformly random one."""
    coin_key, action_key = jax.random.split(key)
    return jnp.where(jax.random.bernoulli(coin_key, epsilon), action_space.sample(action_key), action)
