"""Normaliser: the scale of the data seen so far, so that networks see and predict numbers near one."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mbrl.data.replay import ReplayBuffer


class Normaliser(eqx.Module):
    """Means and standard deviations of observations, of their changes in one step, and of rewards; and what rewards there were."""

    observation_mean: Float[Array, " observation"]
    observation_std: Float[Array, " observation"]
    delta_mean: Float[Array, " observation"]
    delta_std: Float[Array, " observation"]
    reward_mean: Float[Array, ""]  # of steps that the task goes on after
    reward_std: Float[Array, ""]
    terminal_reward_mean: Float[Array, ""]  # of steps that end it
    terminal_reward_std: Float[Array, ""]
    reward_min: Float[Array, ""]  # of steps that the task goes on after
    reward_max: Float[Array, ""]
    terminal_reward_min: Float[Array, ""]  # of steps that end it; infinite where there was none
    terminal_reward_max: Float[Array, ""]
    reward_rms: Float[Array, ""]  # root mean square of the rewards seen
    seen_terminal: Bool[Array, ""]  # whether any step seen ended its task

    def observation(
        self, observation: Float[Array, " observation"]
    ) -> Float[Array, " observation"]:
        """An observation in units of its standard deviation."""
        return (observation - self.observation_mean) / self.observation_std

    def delta(self, delta: Float[Array, " observation"]) -> Float[Array, " observation"]:
        """A change of the observation over one step, in units of its standard deviation."""
        return (delta - self.delta_mean) / self.delta_std

    def reward(self, reward: Float[Array, ""]) -> Float[Array, ""]:
        """A reward in units of its standard deviation, of a step that the task goes on after."""
        return (reward - self.reward_mean) / self.reward_std

    def terminal_reward(self, reward: Float[Array, ""]) -> Float[Array, ""]:
        """A reward in units of its standard deviation, of a step that ends the task."""
        return (reward - self.terminal_reward_mean) / self.terminal_reward_std

    def return_bounds(self, discount: float) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The least and the most that discounted rewards like those seen can sum to.

        That is to earn the same for ever, to end at once, or nothing; all else lies between these: g (1 - γᵀ) / (1 - γ) + γᵀ e is a
        mean of g / (1 - γ) and e.
        """
        low = jnp.minimum(self.reward_min / (1 - discount), self.terminal_reward_min)
        high = jnp.maximum(self.reward_max / (1 - discount), self.terminal_reward_max)
        return jnp.minimum(0.0, low), jnp.maximum(0.0, high)


def identity_normaliser(observation_size: int) -> Normaliser:
    """The normaliser before any data: zero means, unit scales."""
    zeros, ones = jnp.zeros(observation_size), jnp.ones(observation_size)
    zero, one = jnp.zeros(()), jnp.ones(())
    return Normaliser(
        zeros,
        ones,
        zeros,
        ones,
        zero,
        one,
        zero,
        one,
        zero,
        zero,
        zero,
        zero,
        zero,
        jnp.array(False),
    )


def fit_normaliser(replay: ReplayBuffer) -> Normaliser:
    """The statistics of all that the replay holds."""
    transitions, filled = replay.transitions, replay.valid
    delta = transitions.next_observation - transitions.observation
    going_on, ends = filled & ~transitions.terminated, filled & transitions.terminated
    return Normaliser(
        *_mean_and_std(transitions.observation, filled),
        *_mean_and_std(delta, filled),
        *_mean_and_std(transitions.reward, going_on),
        *_mean_and_std(transitions.reward, ends),
        *_min_max(transitions.reward, going_on),
        *_min_max(transitions.reward, ends),
        jnp.sqrt(jnp.mean(transitions.reward**2, where=filled)),
        jnp.any(ends),
    )


def _mean_and_std(values: Float[Array, "capacity *rest"], counted: Array) -> tuple[Array, Array]:
    """Zero and one where nothing counts."""
    where = counted.reshape(counted.shape + (1,) * (values.ndim - 1))
    mean = jnp.where(jnp.any(counted), jnp.mean(values, axis=0, where=where), 0.0)
    std = jnp.std(values, axis=0, where=where)
    # A target that never varies (CartPole's reward) would be divided by zero, or its rounding error blown up.
    rounding = 1e-6 * jnp.maximum(1.0, jnp.abs(mean))
    return mean, jnp.where(std > rounding, std, 1.0)


def _min_max(values: Float[Array, " capacity"], counted: Array) -> tuple[Array, Array]:
    """Infinity and minus infinity where nothing counts."""
    return jnp.min(values, where=counted, initial=jnp.inf), jnp.max(
        values, where=counted, initial=-jnp.inf
    )
