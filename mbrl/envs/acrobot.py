"""Acrobot-v1 (Sutton 1996; Sutton & Barto 2018): its motion, reward and termination in JAX.

Observation: cosine and sine of the first link's angle from hanging down, cosine and sine of the second link's angle from the
first link, the two angular velocities (rad/s). State: the two angles (rad), the two angular velocities.
Action: one-hot of a torque of -1, 0 or 1 N m at the joint between the links.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mbrl.envs.true_dynamics import AbstractTrueDynamics

TIME_STEP = 0.2  # s
GRAVITY = 9.8  # m/s²
LINK_MASS = 1.0  # kg, of either link
LINK_LENGTH = 1.0  # m
LINK_CENTRE = 0.5  # m, from a link's upper end to its centre of mass
LINK_INERTIA = 1.0  # kg m²
MAX_SPEEDS = (4 * jnp.pi, 9 * jnp.pi)  # rad/s
GOAL_HEIGHT = 1.0  # m above the fixed end


class TrueDynamics(AbstractTrueDynamics):
    """Two links and a motor at the joint between them, by one fourth-order Runge-Kutta step, the speeds bounded after it."""

    def from_observation(self, observation):
        first_cosine, first_sine, second_cosine, second_sine, first_speed, second_speed = (
            observation
        )
        return jnp.stack(
            [
                jnp.arctan2(first_sine, first_cosine),
                jnp.arctan2(second_sine, second_cosine),
                first_speed,
                second_speed,
            ]
        )

    def step(self, key, state, action):
        torque = action[2] - action[0]
        start = _derivative(state, torque)
        middle = _derivative(state + TIME_STEP / 2 * start, torque)
        corrected = _derivative(state + TIME_STEP / 2 * middle, torque)
        end = _derivative(state + TIME_STEP * corrected, torque)
        first, second, *speeds = state + TIME_STEP / 6 * (start + 2 * middle + 2 * corrected + end)
        bounded = [
            jnp.clip(speed, -limit, limit) for speed, limit in zip(speeds, MAX_SPEEDS, strict=True)
        ]
        return jnp.stack([_wrapped(first), _wrapped(second), *bounded])

    def observe(self, state):
        first, second, first_speed, second_speed = state
        return jnp.stack(
            [
                jnp.cos(first),
                jnp.sin(first),
                jnp.cos(second),
                jnp.sin(second),
                first_speed,
                second_speed,
            ]
        )


def _derivative(state: Float[Array, "4"], torque: Float[Array, ""]) -> Float[Array, "4"]:
    """Rates of change of the state under a torque (N m): the book's equations, which have a term that the 1996 paper left out."""
    first, second, first_speed, second_speed = state
    lever = LINK_MASS * LINK_LENGTH * LINK_CENTRE  # kg m²
    own = LINK_MASS * LINK_CENTRE**2 + LINK_INERTIA  # kg m², of a link about its upper end
    d1 = 2 * own + LINK_MASS * LINK_LENGTH**2 + 2 * lever * jnp.cos(second)
    d2 = own + lever * jnp.cos(second)
    weight2 = LINK_MASS * LINK_CENTRE * GRAVITY * jnp.sin(first + second)
    weight1 = LINK_MASS * (LINK_CENTRE + LINK_LENGTH) * GRAVITY * jnp.sin(first) + weight2
    phi1 = weight1 - lever * second_speed * (second_speed + 2 * first_speed) * jnp.sin(second)
    phi2 = weight2 + lever * first_speed**2 * jnp.sin(second)
    second_acceleration = (torque + d2 / d1 * phi1 - phi2) / (own - d2**2 / d1)
    first_acceleration = -(d2 * second_acceleration + phi1) / d1
    return jnp.stack([first_speed, second_speed, first_acceleration, second_acceleration])


def _wrapped(angle: Float[Array, ""]) -> Float[Array, ""]:
    """The same angle in [-π, π), where float32 is finest."""
    return jnp.mod(angle + jnp.pi, 2 * jnp.pi) - jnp.pi


def reward(
    observation: Float[Array, "6"], action: Float[Array, "3"], next_observation: Float[Array, "6"]
) -> Float[Array, ""]:
    """Minus one a step, but zero for the step that reaches the goal."""
    return jnp.where(termination(observation, action, next_observation), 0.0, -1.0)


def termination(
    observation: Float[Array, "6"], action: Float[Array, "3"], next_observation: Float[Array, "6"]
) -> Bool[Array, ""]:
    """Whether the free end is higher than one link's length above the fixed end."""
    first_cosine, first_sine, second_cosine, second_sine, _, _ = next_observation
    cosine_of_sum = first_cosine * second_cosine - first_sine * second_sine
    return -LINK_LENGTH * (first_cosine + cosine_of_sum) > GOAL_HEIGHT
