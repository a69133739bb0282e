"""Acrobot-v1 (Sutton 1996; Sutton & Barto 2018): dynamics, reward and termination in JAX.

Observation: cosine and sine of the first link's angle from hanging down, cosine and sine of the
second link's angle from the first link, the two angular velocities (rad/s).
State: the two angles (rad), the two angular velocities (rad/s).
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
    """Two links with a motor at their joint; a fourth-order Runge-Kutta step, then speed limits."""

    def from_observation(self, observation):
        cosine1, sine1, cosine2, sine2, speed1, speed2 = observation
        return jnp.stack([jnp.arctan2(sine1, cosine1), jnp.arctan2(sine2, cosine2), speed1, speed2])

    def step(self, key, state, action):
        torque = action[2] - action[0]
        start = _derivative(state, torque)
        middle = _derivative(state + TIME_STEP / 2 * start, torque)
        corrected = _derivative(state + TIME_STEP / 2 * middle, torque)
        end = _derivative(state + TIME_STEP * corrected, torque)
        angle1, angle2, speed1, speed2 = state + TIME_STEP / 6 * (
            start + 2 * middle + 2 * corrected + end
        )
        speed1 = jnp.clip(speed1, -MAX_SPEEDS[0], MAX_SPEEDS[0])
        speed2 = jnp.clip(speed2, -MAX_SPEEDS[1], MAX_SPEEDS[1])
        return jnp.stack([_wrap_angle(angle1), _wrap_angle(angle2), speed1, speed2])

    def observe(self, state):
        angle1, angle2, speed1, speed2 = state
        return jnp.stack(
            [jnp.cos(angle1), jnp.sin(angle1), jnp.cos(angle2), jnp.sin(angle2), speed1, speed2]
        )


def _derivative(state: Float[Array, "4"], torque: Float[Array, ""]) -> Float[Array, "4"]:
    """Rates of change of the state under a torque (N m).

    The equations are the book's, which have a term that the 1996 paper omits.
    """
    angle1, angle2, speed1, speed2 = state
    coupling = LINK_MASS * LINK_LENGTH * LINK_CENTRE  # kg m²
    inertia = LINK_MASS * LINK_CENTRE**2 + LINK_INERTIA  # kg m², of a link about its upper end
    d1 = 2 * inertia + LINK_MASS * LINK_LENGTH**2 + 2 * coupling * jnp.cos(angle2)
    d2 = inertia + coupling * jnp.cos(angle2)
    gravity2 = LINK_MASS * LINK_CENTRE * GRAVITY * jnp.sin(angle1 + angle2)
    gravity1 = LINK_MASS * (LINK_CENTRE + LINK_LENGTH) * GRAVITY * jnp.sin(angle1) + gravity2
    phi1 = gravity1 - coupling * speed2 * (speed2 + 2 * speed1) * jnp.sin(angle2)
    phi2 = gravity2 + coupling * speed1**2 * jnp.sin(angle2)
    acceleration2 = (torque + d2 / d1 * phi1 - phi2) / (inertia - d2**2 / d1)
    acceleration1 = -(d2 * acceleration2 + phi1) / d1
    return jnp.stack([speed1, speed2, acceleration1, acceleration2])


def _wrap_angle(angle: Float[Array, ""]) -> Float[Array, ""]:
    """The equivalent angle in [-π, π), where float32 has the best resolution."""
    return jnp.mod(angle + jnp.pi, 2 * jnp.pi) - jnp.pi


def reward(
    observation: Float[Array, "6"], action: Float[Array, "3"], next_observation: Float[Array, "6"]
) -> Float[Array, ""]:
    """Minus one for each step, zero for the step that reaches the goal."""
    return jnp.where(termination(observation, action, next_observation), 0.0, -1.0)


def termination(
    observation: Float[Array, "6"], action: Float[Array, "3"], next_observation: Float[Array, "6"]
) -> Bool[Array, ""]:
    """Whether the free end is more than one link's length above the fixed end."""
    cosine1, sine1, cosine2, sine2, _, _ = next_observation
    cosine_of_sum = cosine1 * cosine2 - sine1 * sine2
    return -LINK_LENGTH * (cosine1 + cosine_of_sum) > GOAL_HEIGHT
