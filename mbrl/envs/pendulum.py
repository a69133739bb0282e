"""Pendulum-v1: dynamics, reward and termination in JAX.

The equations are Gymnasium's (classic_control/pendulum.py).

Observation: cosine and sine of the angle from upright, angular velocity (rad/s).
State: angle (rad), angular velocity (rad/s).
Action in [-1, 1]: torque / (2 N m).
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mbrl.envs.true_dynamics import AbstractTrueDynamics

MAX_TORQUE = 2.0  # N m

TIME_STEP = 0.05  # s
GRAVITY = 10.0  # m/s²
MASS = 1.0  # kg
LENGTH = 1.0  # m
MAX_SPEED = 8.0  # rad/s


class TrueDynamics(AbstractTrueDynamics):
    """A uniform rod that turns about its end, with a speed limit; semi-implicit Euler steps."""

    def from_observation(self, observation):
        cosine, sine, speed = observation
        return jnp.stack([jnp.arctan2(sine, cosine), speed])

    def step(self, key, state, action):
        angle, speed = state
        torque = MAX_TORQUE * jnp.clip(action[0], -1.0, 1.0)
        # The rod's moment of inertia about its end is mass length² / 3; gravity acts on its middle.
        acceleration = 3 * GRAVITY / (2 * LENGTH) * jnp.sin(angle) + 3 / (MASS * LENGTH**2) * torque
        speed = jnp.clip(speed + TIME_STEP * acceleration, -MAX_SPEED, MAX_SPEED)
        return jnp.stack([angle + TIME_STEP * speed, speed])

    def observe(self, state):
        angle, speed = state
        return jnp.stack([jnp.cos(angle), jnp.sin(angle), speed])


def reward(
    observation: Float[Array, "3"], action: Float[Array, "1"], next_observation: Float[Array, "3"]
) -> Float[Array, ""]:
    """-(angle² + 0.1 speed² + 0.001 torque²), of the state in which the torque was applied."""
    cosine, sine, speed = observation
    torque = MAX_TORQUE * action[0]
    return -(jnp.arctan2(sine, cosine) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)


def termination(
    observation: Float[Array, "3"], action: Float[Array, "1"], next_observation: Float[Array, "3"]
) -> Bool[Array, ""]:
    """False: episodes end at the time limit only."""
    return jnp.zeros((), bool)
