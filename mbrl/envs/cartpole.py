"""CartPole-v1 (Barto, Sutton & Anderson 1983): its reward and termination in JAX, and the blog post's shaped reward.

Observation: cart position (m), cart velocity (m/s), pole angle (rad), pole angular velocity (rad/s).
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

POSITION_LIMIT = 2.4  # m
ANGLE_LIMIT = 12 * 2 * jnp.pi / 360  # rad


def reward(observation: Float[Array, "4"], action: Float[Array, "2"], next_observation: Float[Array, "4"]) -> Float[Array, ""]:
    """One a step, the last one included."""
    return jnp.ones(())


def termination(observation: Float[Array, "4"], action: Float[Array, "2"], next_observation: Float[Array, "4"]) -> Bool[Array, ""]:
    """Whether the cart has left the track or the pole has fallen."""
    position, _, angle, _ = next_observation
    return (jnp.abs(position) > POSITION_LIMIT) | (jnp.abs(angle) > ANGLE_LIMIT)


def shaped_reward(observation: Float[Array, "4"], action: Float[Array, "2"], next_observation: Float[Array, "4"]) -> Float[Array, ""]:
    """Hand-made: one in the middle of the track with the pole upright, zero and less towards the limits of either."""
    position, _, angle, _ = next_observation
    return 1.0 - (jnp.abs(position) / POSITION_LIMIT + jnp.abs(angle) / ANGLE_LIMIT) / 2
