"""Pendulum-v1: its reward and termination in JAX.

Observation: cosine and sine of the angle from upright, angular velocity (rad/s). Action in [-1, 1]: torque / (2 N m).
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

MAX_TORQUE = 2.0  # N m


def reward(observation: Float[Array, "3"], action: Float[Array, "1"], next_observation: Float[Array, "3"]) -> Float[Array, ""]:
    """The negative cost of the state that the torque was applied in: angle² + 0.1 speed² + 0.001 torque²."""
    cosine, sine, speed = observation
    torque = MAX_TORQUE * action[0]
    return -(jnp.arctan2(sine, cosine) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)


def termination(observation: Float[Array, "3"], action: Float[Array, "1"], next_observation: Float[Array, "3"]) -> Bool[Array, ""]:
    """Never."""
    return jnp.zeros((), bool)
