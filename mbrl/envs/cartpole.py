"""CartPole-v1 (Barto, Sutton & Anderson 1983): dynamics, reward and termination in JAX.

Also the shaped reward of the blog post that this project began with.

Observation and state: cart position (m), cart velocity (m/s), pole angle (rad), pole angular
velocity (rad/s).
Action: one-hot of a push to the left or to the right.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mbrl.envs.true_dynamics import AbstractTrueDynamics

POSITION_LIMIT = 2.4  # m
ANGLE_LIMIT = 12 * 2 * jnp.pi / 360  # rad

TIME_STEP = 0.02  # s
PUSH = 10.0  # N
GRAVITY = 9.8  # m/s²
CART_MASS = 1.0  # kg
POLE_MASS = 0.1  # kg
HALF_POLE = 0.5  # m, from the hinge to the pole's centre of mass


class TrueDynamics(AbstractTrueDynamics):
    """A pole hinged to a cart without friction; explicit Euler steps.

    Florian (2007), equations 23 and 24.
    """

    def from_observation(self, observation):
        return observation

    def step(self, key, state, action):
        return state + TIME_STEP * _derivative(state, PUSH * (action[1] - action[0]))

    def observe(self, state):
        return state


def _derivative(state: Float[Array, "4"], force: Float[Array, ""]) -> Float[Array, "4"]:
    """Rates of change of the state under a force (N) on the cart."""
    _, velocity, angle, angular_velocity = state
    total_mass, cosine, sine = CART_MASS + POLE_MASS, jnp.cos(angle), jnp.sin(angle)
    push = (force + POLE_MASS * HALF_POLE * angular_velocity**2 * sine) / total_mass  # m/s²
    inertia = HALF_POLE * (4 / 3 - POLE_MASS * cosine**2 / total_mass)  # m, as (23) divides by it
    angular_acceleration = (GRAVITY * sine - cosine * push) / inertia  # (23)
    acceleration = push - POLE_MASS * HALF_POLE * angular_acceleration * cosine / total_mass  # (24)
    return jnp.stack([velocity, acceleration, angular_velocity, angular_acceleration])


def reward(
    observation: Float[Array, "4"], action: Float[Array, "2"], next_observation: Float[Array, "4"]
) -> Float[Array, ""]:
    """One for each step, including the last."""
    return jnp.ones(())


def termination(
    observation: Float[Array, "4"], action: Float[Array, "2"], next_observation: Float[Array, "4"]
) -> Bool[Array, ""]:
    """Whether the cart has left the track or the pole has fallen."""
    position, _, angle, _ = next_observation
    return (jnp.abs(position) > POSITION_LIMIT) | (jnp.abs(angle) > ANGLE_LIMIT)


def shaped_reward(
    observation: Float[Array, "4"], action: Float[Array, "2"], next_observation: Float[Array, "4"]
) -> Float[Array, ""]:
    """One in the middle of the track with the pole upright, less with distance from either.

    One half if one of them is at its limit, zero if both are.
    """
    position, _, angle, _ = next_observation
    return 1.0 - (jnp.abs(position) / POSITION_LIMIT + jnp.abs(angle) / ANGLE_LIMIT) / 2
