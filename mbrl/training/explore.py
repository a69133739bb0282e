"""Exploration: how collection changes the planner's actions; evaluation does not.

A learner may explore too, by the model that collection plans in.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from mbrl.planners.noise import MAX_EXPONENT, coloured_noise
from mbrl.types import MAX_FACTOR, AbstractActionSpace

EpsilonSchedule = float | Callable[[int], float]  # constant, or a function of real steps

NOISE_STEPS = 1000  # length of an episode's noise sequence, which repeats in longer episodes


@dataclass(frozen=True)
class Exploration:
    """Epsilon-greedy actions and coloured action noise."""

    # Fraction of uniformly random actions.
    epsilon: EpsilonSchedule
    # Standard deviation of the noise added to the action's features, which are in [-1, 1] for Box.
    action_noise_std: float
    # Exponent β of the noise's spectral density 1/f^β over an episode: 0 white, 1 pink, 2 red.
    action_noise_exponent: float

    def __post_init__(self):
        if not callable(self.epsilon) and not 0 <= self.epsilon <= 1:
            raise ValueError(
                f"training.epsilon={self.epsilon}: must be in [0, 1], the fraction of random "
                "actions. Try 0.05."
            )
        if not 0 <= self.action_noise_std <= MAX_FACTOR:
            raise ValueError(
                f"training.action_noise_std={self.action_noise_std}: must be in [0, {MAX_FACTOR}], "
                "beyond which single precision loses what it is added to. Try 0, which turns it "
                "off."
            )
        if not 0 <= self.action_noise_exponent <= MAX_EXPONENT:
            raise ValueError(
                f"training.action_noise_exponent={self.action_noise_exponent}: must be in [0, "
                f"{MAX_EXPONENT}]. Try 0, white noise, or 2, red noise."
            )

    def epsilon_at(self, env_steps: int) -> float:
        """The fraction of random actions after `env_steps` real steps."""
        if not callable(self.epsilon):
            return self.epsilon
        try:
            with jax.numpy_dtype_promotion("standard"):  # optax's schedules mix dtypes
                epsilon = float(self.epsilon(env_steps))
        except (TypeError, ZeroDivisionError) as error:
            raise ValueError(
                f"training.epsilon: must be a number or a function of real steps ({error}). "
                "Try an optax schedule."
            ) from error
        if not 0 <= epsilon <= 1:
            raise ValueError(
                f"training.epsilon: the schedule's value after {env_steps} real steps is "
                f"{epsilon}, but it must stay in [0, 1]. Change its settings."
            )
        return epsilon

    def noise(
        self, key: PRNGKeyArray, action_space: AbstractActionSpace
    ) -> Float[Array, "steps features"]:
        """The action noise of one episode, coloured over time (Eberhard et al. 2023)."""
        shape = (1, NOISE_STEPS, action_space.num_features)
        return self.action_noise_std * coloured_noise(key, shape, self.action_noise_exponent)[0]


def epsilon_greedy(
    key: PRNGKeyArray,
    action_space: AbstractActionSpace,
    action: Shaped[Array, "*action"],
    epsilon: Float[Array, ""],
    noise: Float[Array, " features"],
) -> Shaped[Array, "*action"]:
    """The planner's action with noise, or with probability `epsilon` a uniformly random one."""
    coin_key, action_key = jax.random.split(key)
    noisy = action_space.from_features(action_space.features(action) + noise)
    is_random = jax.random.bernoulli(coin_key, epsilon)
    return jnp.where(is_random, action_space.sample(action_key), noisy)
