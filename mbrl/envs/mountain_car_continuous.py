"""MountainCarContinuous-v0 (after Moore 1990): dynamics, reward and termination in JAX.

Observation and state: position, velocity (per step). The task has no units; time is in steps.
Action in [-1, 1]: the motor's power. The valley is that of mountain_car.py; motor, goal and reward
differ.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mbrl.envs.mountain_car import step_car
from mbrl.envs.true_dynamics import AbstractTrueDynamics

PUSH = 0.0015  # per step², at full power
GOAL = 0.45  # position
GOAL_REWARD = 100.0
POWER_COST = 0.1  # of a step at full power


class TrueDynamics(AbstractTrueDynamics):
    """A car in the valley sin(3 position) with a motor that is weaker than gravity."""

    def from_observation(self, observation):
        return observation

    def step(self, key, state, action):
        return step_car(state, PUSH * jnp.clip(action[0], -1.0, 1.0))

    def observe(self, state):
        return state


def reward(
    observation: Float[Array, "2"], action: Float[Array, "1"], next_observation: Float[Array, "2"]
) -> Float[Array, ""]:
    """100 for reaching the goal, minus the cost of the motor's power at each step, 0.1 power²."""
    reached = termination(observation, action, next_observation)
    return jnp.where(reached, GOAL_REWARD, 0.0) - POWER_COST * action[0] ** 2


def termination(
    observation: Float[Array, "2"], action: Float[Array, "1"], next_observation: Float[Array, "2"]
) -> Bool[Array, ""]:
    """Whether the car is at the goal and not rolling back."""
    position, velocity = next_observation
    return (position >= GOAL) & (velocity >= 0)
