"""Exploration: what collection does to the planner's actions, and the model it plans in. Evaluation never explores."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from mbrl.models.base import AbstractWorldModel, with_value
from mbrl.models.bonus import with_bonus
from mbrl.planners.noise import MAX_EXPONENT, coloured_noise
from mbrl.training.state import TrainState
from mbrl.types import AbstractActionSpace

EpsilonSchedule = float | Callable[[int], float]  # of real steps so far

NOISE_STEPS = 1000  # of an episode, after which its noise begins again


@dataclass(frozen=True)
class Exploration:
    """How collection departs from what the planner thinks best."""

    epsilon: EpsilonSchedule  # share of random actions; a number, or a function of real steps (an optax schedule)
    action_noise_std: (
        float  # of noise added to the action's features: to actions in [-1, 1] for Box
    )
    action_noise_exponent: (
        float  # of the noise's spectral density 1/f^β over an episode: 0 white, 1 pink, 2 red
    )
    disagreement_bonus: (
        float  # reward for full disagreement of the members, in units of a typical reward
    )
    bonus_floor_until_first_termination: bool  # whether an episode's end is to be found: until one has ended, that unit is at least the largest cost

    def __post_init__(self):
        if not callable(self.epsilon) and not 0 <= self.epsilon <= 1:
            raise ValueError(
                f"training.epsilon={self.epsilon} must be in [0, 1]: the share of random actions; try 0.05."
            )
        for name in ("action_noise_std", "action_noise_exponent", "disagreement_bonus"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"training.{name}={getattr(self, name)} must be a finite number, at least 0, which turns it off."
                )
        if self.action_noise_exponent > MAX_EXPONENT:
            raise ValueError(
                f"training.action_noise_exponent={self.action_noise_exponent} must be at most {MAX_EXPONENT}; 2 is red noise."
            )

    def epsilon_at(self, env_steps: int) -> float:
        """The share of random actions after so many real steps."""
        if not callable(self.epsilon):
            return self.epsilon
        try:
            with jax.numpy_dtype_promotion("standard"):  # optax's schedules mix dtypes
                epsilon = float(self.epsilon(env_steps))
        except (TypeError, ZeroDivisionError) as error:
            raise ValueError(
                f"training.epsilon must be a number, or a function of real steps that returns one: {error}."
            ) from error
        if not 0 <= epsilon <= 1:
            raise ValueError(
                f"training.epsilon is {epsilon} after {env_steps} real steps: a schedule must stay in [0, 1]."
            )
        return epsilon

    def noise(
        self, key: PRNGKeyArray, action_space: AbstractActionSpace
    ) -> Float[Array, "steps features"]:
        """What is added to the actions of an episode (coloured as in Eberhard et al. 2023); repeated in a longer one."""
        shape = (1, NOISE_STEPS, action_space.num_features)
        return self.action_noise_std * coloured_noise(key, shape, self.action_noise_exponent)[0]

    def model(self, state: TrainState, episode: int = 0) -> AbstractWorldModel:
        """The model that collection plans in, in the episode of this number.

        Every other episode is planned as evaluation plans: what it believes and is wrong about would else never be put to the test.
        """
        if state.bonus_value is None or episode % 2 == 1:
            return state.model
        return with_bonus(
            with_value(state.model, state.bonus_value.function),
            self.disagreement_bonus,
            self.bonus_floor_until_first_termination,
        )


def epsilon_greedy(
    key: PRNGKeyArray,
    action_space: AbstractActionSpace,
    action: Shaped[Array, "*action"],
    epsilon: Float[Array, ""],
    noise: Float[Array, " features"],
) -> Shaped[Array, "*action"]:
    """The planner's action with noise, but with probability `epsilon` a uniformly random one (ε-greedy)."""
    coin_key, action_key = jax.random.split(key)
    noisy = action_space.from_features(action_space.features(action) + noise)
    return jnp.where(
        jax.random.bernoulli(coin_key, epsilon), action_space.sample(action_key), noisy
    )
