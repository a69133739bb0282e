"""mbrl/PointMass-v0: push a mass to the middle of a walled square, with any kind of action.

The smallest task with Box, Discrete or MultiDiscrete actions, and its dynamics, reward and
termination in JAX. Without walls and with Box actions, it is linear with a quadratic reward.

Observation and state: position x, y (m), velocity x, y (m/s).
Action: a force (N) of at most 1 along each axis.
"""

from typing import Any

import equinox as eqx
import gymnasium
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float

from mbrl.envs.true_dynamics import AbstractTrueDynamics

TIME_STEP = 0.1  # s
EPISODE_LIMIT = 50  # steps
FRICTION = 0.5  # N s/m
MAX_SPEED = 1 / FRICTION  # m/s; here friction balances a force of 1 N
WALL = 2.0  # m from the middle
START = 1.0  # m, largest distance from the middle along each axis
FORCE_COST = 0.1  # of a step at 1 N

PUSHES = (-1.0, 0.0, 1.0)  # N, the choices along each axis of multi_discrete
DIRECTIONS = ((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))  # N, of discrete

ACTION_SPACES = {
    "box": lambda: spaces.Box(-1.0, 1.0, (2,), np.float32),
    "discrete": lambda: spaces.Discrete(len(DIRECTIONS)),
    "multi_discrete": lambda: spaces.MultiDiscrete([len(PUSHES)] * 2),
}


class PointMass(gymnasium.Env):
    """Starts at rest, anywhere in [-1, 1]², and never terminates.

    `actions` is "box" (forces), "discrete" (no force, +x, -x, +y, -y) or "multi_discrete" (-1, 0
    or 1 N along each axis). Raises ValueError for anything else.
    """

    def __init__(self, actions: str = "box"):
        _check_actions(actions)
        bounds = np.array([WALL, WALL, MAX_SPEED, MAX_SPEED], np.float32)
        self.observation_space = spaces.Box(-bounds, bounds)
        self.action_space = ACTION_SPACES[actions]()
        self.actions = actions

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-START, START, 2).astype(np.float32)
        self.velocity = np.zeros(2, np.float32)
        return self._observation(), {}

    def step(self, action):
        if self.actions == "box":
            force = np.clip(np.asarray(action, np.float32), -1.0, 1.0)
        elif self.actions == "discrete":
            force = np.array(DIRECTIONS[action], np.float32)
        else:
            force = np.array([PUSHES[choice] for choice in action], np.float32)
        velocity = self.velocity + TIME_STEP * (force - FRICTION * self.velocity)
        position = self.position + TIME_STEP * velocity
        self.velocity = np.where(np.abs(position) > WALL, np.float32(0.0), velocity)
        self.position = np.clip(position, -WALL, WALL)
        cost = np.sum(self.position**2) + FORCE_COST * np.sum(force**2)
        return self._observation(), -float(cost), False, False, {}

    def _observation(self) -> np.ndarray:
        return np.concatenate([self.position, self.velocity])


# The entry point is a string, so that the registered spec can be serialised.
gymnasium.register(
    "mbrl/PointMass-v0", entry_point=f"{__name__}:PointMass", max_episode_steps=EPISODE_LIMIT
)


class TrueDynamics(AbstractTrueDynamics):
    """A mass of 1 kg with friction, by semi-implicit Euler steps. Walls stop one axis of motion."""

    actions: str = eqx.field(default="box", static=True)

    def __check_init__(self):
        _check_actions(self.actions)

    def from_observation(self, observation):
        return observation

    def step(self, key, state, action):
        position, velocity = jnp.split(state, 2)
        velocity = velocity + TIME_STEP * (force(action, self.actions) - FRICTION * velocity)
        position = position + TIME_STEP * velocity
        stopped = jnp.where(jnp.abs(position) > WALL, 0.0, velocity)
        return jnp.concatenate([jnp.clip(position, -WALL, WALL), stopped])

    def observe(self, state):
        return state


def force(action: Float[Array, " features"], actions: str) -> Float[Array, "2"]:
    """The force (N) along each axis, from an action's features."""
    _check_actions(actions)
    if actions == "box":
        return jnp.clip(action, -1.0, 1.0)
    # Not `@`, which accelerators compute in lower precision.
    if actions == "discrete":
        return jnp.sum(action[:, None] * jnp.asarray(DIRECTIONS, jnp.float32), axis=0)
    return jnp.sum(action.reshape(2, len(PUSHES)) * jnp.asarray([PUSHES], jnp.float32), axis=1)


def reward(
    observation: Float[Array, "4"],
    action: Float[Array, " features"],
    next_observation: Float[Array, "4"],
    *,
    actions: str = "box",
) -> Float[Array, ""]:
    """-(x² + y² + 0.1 force²), of the position after the step."""
    return -(jnp.sum(next_observation[:2] ** 2) + FORCE_COST * jnp.sum(force(action, actions) ** 2))


def termination(
    observation: Float[Array, "4"],
    action: Float[Array, " features"],
    next_observation: Float[Array, "4"],
) -> Bool[Array, ""]:
    """False: episodes end at the time limit only."""
    return jnp.zeros((), bool)


def _check_actions(actions: str) -> None:
    if actions not in ACTION_SPACES:
        raise ValueError(
            f"actions={actions}: must be one of {', '.join(ACTION_SPACES)}. Choose one of these."
        )
