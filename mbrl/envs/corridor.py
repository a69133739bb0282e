"""mbrl/Corridor-v0: a line of cells, a prize at its right end, a cliff at its left end, and a floor that slips.

The smallest task that cannot be planned in means. Beside the cliff lies a small reward, which may be collected at every
second step; a planner that believes in the likeliest outcome, or in the mean, stays there for it, and falls. Expected return
of 50 steps (by value iteration, the defaults): 10.0 for the best policy, 2.0 for random actions, 0.8 for the policy that
would be best without slips (and would then earn 30).

Observation: the position, from -1 at the cliff to 1 at the prize. State: the position in cells, from 0; a whole number, but
for means. Action: one-hot of left, right. The task has no units: time is counted in steps.
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
PRIZE = 10.0  # reward of reaching the right end
FALL = -10.0  # reward of reaching the left end
EDGE = 1.0  # reward of each step into the cell beside the left end
MIN_LENGTH = 5  # cells: below, the middle lies beside an end


class Corridor(gymnasium.Env):
    """Starts in the middle (cell `length` // 2); both ends terminate. A move slips with probability `slip`.

    Raises ValueError for a length below 5 cells, or a slip outside [0, 0.5].
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
        earned = {0: FALL, 1: EDGE, last: PRIZE}.get(self.cell, 0.0)
        return self._observation(), earned, self.cell in (0, last), False, {}

    def _observation(self) -> np.ndarray:
        return np.array([2 * self.cell / (self.length - 1) - 1], np.float32)


# A string, so that the registered specification can be written down.
gymnasium.register(
    "mbrl/Corridor-v0", entry_point=f"{__name__}:Corridor", max_episode_steps=EPISODE_LIMIT
)


class TrueDynamics(AbstractTrueDynamics):
    """One cell to the left or to the right; on average 1 - 2 `slip` cells the way that was meant."""

    length: int = eqx.field(default=LENGTH, static=True)  # cells
    slip: float = eqx.field(default=SLIP, static=True)  # probability

    def __check_init__(self):
        _check_length(self.length)
        _check_slip(self.slip)

    def from_observation(self, observation):
        return _position(observation, self.length)

    def step(self, key, state, action):
        outcome = (
            1 - 2 * self.slip
            if key is None
            else jnp.where(jax.random.bernoulli(key, self.slip), -1.0, 1.0)
        )
        return jnp.clip(state + outcome * (action[1:] - action[:1]), 0.0, self.length - 1.0)

    def observe(self, state):
        return 2 * state / (self.length - 1) - 1


def reward(
    observation: Float[Array, "1"],
    action: Float[Array, "2"],
    next_observation: Float[Array, "1"],
    *,
    length: int = LENGTH,
) -> Float[Array, ""]:
    """What the cell nearest to the next observation holds: the prize, the fall, the small reward beside it, or nothing."""
    cell = jnp.round(_position(next_observation, length)[0])
    return jnp.select([cell <= 0, cell == 1, cell >= length - 1], [FALL, EDGE, PRIZE], 0.0)


def termination(
    observation: Float[Array, "1"],
    action: Float[Array, "2"],
    next_observation: Float[Array, "1"],
    *,
    length: int = LENGTH,
) -> Bool[Array, ""]:
    """Whether the cell nearest to the next observation is an end."""
    cell = jnp.round(_position(next_observation, length)[0])
    return (cell <= 0) | (cell >= length - 1)


def _position(observation: Float[Array, "1"], length: int) -> Float[Array, "1"]:
    """In cells, from 0 at the left end."""
    return (observation + 1) * (length - 1) / 2


def _check_length(length: int) -> None:
    if not isinstance(length, int) or length < MIN_LENGTH:
        raise ValueError(
            f"length={length} must be a whole number of cells, at least {MIN_LENGTH}; the default is {LENGTH}."
        )


def _check_slip(slip: float) -> None:
    if not 0 <= slip <= 0.5:
        raise ValueError(
            f"slip={slip} must be a probability in [0, 0.5]: beyond, left would mean right; the default is {SLIP}."
        )
