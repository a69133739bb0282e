"""MountainCar-v0 (Moore 1990; Sutton & Barto 2018, example 10.1), in JAX.

Its dynamics, reward and termination. Observation and state: position, velocity (per step). The task
has no units; time is in steps. Action: one-hot of a push to the left, none, or to the right.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mbrl.envs.true_dynamics import AbstractTrueDynamics

LEFT_WALL = -1.2
RIGHT_WALL = 0.6
MAX_SPEED = 0.07  # per step
GRAVITY = 0.0025  # per step²
PUSH = 0.001  # per step²
GOAL = 0.5  # position


class TrueDynamics(AbstractTrueDynamics):
    """A car in the valley sin(3 position) with a motor that is weaker than gravity."""

    def from_observation(self, observation):
        return observation

    def step(self, key, state, action):
        return step_car(state, PUSH * (action[2] - action[0]))

    def observe(self, state):
        return state


def step_car(state: Float[Array, "2"], push: Float[Array, ""]) -> Float[Array, "2"]:
    """The car's state one step later, under gravity and a push (per step²).

    The left wall stops the car; the right one limits its position only.
    """
    position, velocity = state
    velocity = jnp.clip(velocity + push - GRAVITY * jnp.cos(3 * position), -MAX_SPEED, MAX_SPEED)
    position = jnp.clip(position + velocity, LEFT_WALL, RIGHT_WALL)
    velocity = jnp.where(position <= LEFT_WALL, jnp.maximum(velocity, 0.0), velocity)
    return jnp.stack([position, velocity])


def reward(
    observation: Float[Array, "2"], action: Float[Array, "3"], next_observation: Float[Array, "2"]
) -> Float[Array, ""]:
    """Minus one for each step, including the last."""
    return -jnp.ones(())


def termination(
    observation: Float[Array, "2"], action: Float[Array, "3"], next_observation: Float[Array, "2"]
) -> Bool[Array, ""]:
    """Whether the car is at the goal and not rolling back."""
    position, velocity = next_observation
    return (position >= GOAL) & (velocity >= 0)
