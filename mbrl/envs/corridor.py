"""mbrl/Corridor-v0: a slippery line of cells with a goal at the right end, a cliff at the left one.

The smallest task in which planning with mean or most likely outcomes fails. Beside the cliff is a
small reward, which can be collected at every second step. A planner that ignores slips stays there
to collect it, and falls. Expected returns of 50 steps with the defaults, by value iteration: 10.0
for the best policy, 2.0 for random actions, 0.8 for the policy that would be best without slips
(and would then earn 30).

Observation: the position, from -1 at the cliff to 1 at the goal.
State: the position in cells, from 0; an integer, unless it is a mean.
Action: one-hot of left, right. The task has no units; time is in steps.
"""

from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float

from mbrl.envs.true_dynamics import AbstractTrueDynamics

LENGTH = 10  # cells
SLIP = 0.1  # probability that a move goes the other way
EPISODE_LIMIT = 50  # steps
GOAL_REWARD = 10.0  # for reaching the right end
CLIFF_REWARD = -10.0  # for reaching the left end
EDGE_REWARD = 1.0  # for each step into the cell beside the left end
MIN_LENGTH = 5  # cells; in a shorter corridor, the middle would be beside an end


class Corridor(gymnasium.Env):
    """Starts in the middle (cell `length` // 2); both ends terminate.

    A move goes the other way with probability `slip`. Raises ValueError for a length below 5 cells
    or a slip outside [0, 0.5].
    """

    def __init__(self, length: int = LENGTH, slip: float = SLIP):
        _check_length(length)
        _check_slip(slip)
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length, self.slip = length, slip

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.cell = self.length // 2
        return self._observation(), {}

    def step(self, action):
        slipped = self.np_random.random() < self.slip
        self.cell += 1 if (action == 1) != slipped else -1
        last = self.length - 1
        reward = {0: CLIFF_REWARD, 1: EDGE_REWARD, last: GOAL_REWARD}.get(self.cell, 0.0)
        return self._observation(), reward, self.cell in (0, last), False, {}

    def _observation(self) -> np.ndarray:
        return np.array([2 * self.cell / (self.length - 1) - 1], np.float32)


# The entry point is a string, so that the registered spec can be serialised.
gymnasium.register(
    "mbrl/Corridor-v0", entry_point=f"{__name__}:Corridor", max_episode_steps=EPISODE_LIMIT
)


class TrueDynamics(AbstractTrueDynamics):
    """Moves one cell left or right; on average, 1 - 2 `slip` cells in the chosen direction."""

    length: int = eqx.field(default=LENGTH, static=True)  # cells
    slip: float = eqx.field(default=SLIP, static=True)  # probability

    def __check_init__(self):
        _check_length(self.length)
        _check_slip(self.slip)

    def from_observation(self, observation):
        return _position(observation, self.length)

    def step(self, key, state, action):
        distance = (
            1 - 2 * self.slip
            if key is None
            else jnp.where(jax.random.bernoulli(key, self.slip), -1.0, 1.0)
        )
        return jnp.clip(state + distance * (action[1:] - action[:1]), 0.0, self.length - 1.0)

    def observe(self, state):
        return 2 * state / (self.length - 1) - 1


def reward(
    observation: Float[Array, "1"],
    action: Float[Array, "2"],
    next_observation: Float[Array, "1"],
    *,
    length: int = LENGTH,
) -> Float[Array, ""]:
    """The reward of the cell that is nearest to the next observation."""
    cell = jnp.round(_position(next_observation, length)[0])
    conditions = [cell <= 0, cell == 1, cell >= length - 1]
    return jnp.select(conditions, [CLIFF_REWARD, EDGE_REWARD, GOAL_REWARD], 0.0)


def termination(
    observation: Float[Array, "1"],
    action: Float[Array, "2"],
    next_observation: Float[Array, "1"],
    *,
    length: int = LENGTH,
) -> Bool[Array, ""]:
    """Whether the cell that is nearest to the next observation is an end."""
    cell = jnp.round(_position(next_observation, length)[0])
    return (cell <= 0) | (cell >= length - 1)


def _position(observation: Float[Array, "1"], length: int) -> Float[Array, "1"]:
    """The position in cells, from 0 at the left end."""
    return (observation + 1) * (length - 1) / 2


def _check_length(length: int) -> None:
    if not isinstance(length, int) or length < MIN_LENGTH:
        raise ValueError(
            f"length={length}: must be an integer, at least {MIN_LENGTH} cells. Try {LENGTH}."
        )


def _check_slip(slip: float) -> None:
    if not 0 <= slip <= 0.5:
        raise ValueError(
            f"slip={slip}: must be a probability in [0, 0.5]; above 0.5, left would mean right. "
            f"Try {SLIP}."
        )
