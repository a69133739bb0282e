"""Normaliser: statistics of the data, so that networks read and predict numbers near one."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mbrl.data.transitions import Transitions


class Normaliser(eqx.Module):
    """Means and standard deviations of the data, and bounds of its rewards.

    A terminal reward is that of a step that terminates its episode; "reward" without it is that of
    all other steps. Predicted rewards, the bounds and `reward_rms` are relative to `reward_offset`.
    """

    observation_mean: Float[Array, " observation"]
    observation_std: Float[Array, " observation"]
    delta_mean: Float[Array, " observation"]  # change of the observation in one step
    delta_std: Float[Array, " observation"]
    reward_mean: Float[Array, ""]
    reward_std: Float[Array, ""]
    terminal_reward_mean: Float[Array, ""]
    terminal_reward_std: Float[Array, ""]
    reward_offset: Float[Array, ""]
    reward_min: Float[Array, ""]  # bounds are infinite while there is no such step
    reward_max: Float[Array, ""]
    terminal_reward_min: Float[Array, ""]
    terminal_reward_max: Float[Array, ""]
    reward_rms: Float[Array, ""]  # root mean square of all rewards
    seen_terminal: Bool[Array, ""]  # whether any step terminated its episode

    def observation(
        self, observation: Float[Array, " observation"]
    ) -> Float[Array, " observation"]:
        """Normalises an observation."""
        return (observation - self.observation_mean) / self.observation_std

    def delta(self, delta: Float[Array, " observation"]) -> Float[Array, " observation"]:
        """Normalises a change of the observation in one step."""
        return (delta - self.delta_mean) / self.delta_std

    def reward(self, reward: Float[Array, ""]) -> Float[Array, ""]:
        """Normalises the reward of a nonterminal step."""
        return (reward - self.reward_mean) / self.reward_std

    def terminal_reward(self, reward: Float[Array, ""]) -> Float[Array, ""]:
        """Normalises the reward of a terminal step."""
        return (reward - self.terminal_reward_mean) / self.terminal_reward_std

    @property
    def reward_unit(self) -> Float[Array, ""]:
        """A typical reward; 1 while all rewards are zero."""
        return jnp.where(self.reward_rms > 0, self.reward_rms, 1.0)

    def return_bounds(self, discount: float) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The smallest and the largest discounted return with rewards inside the reward bounds.

        An extreme return earns the same nonterminal reward g for ever, terminates at once with e,
        or is zero. Every other one is in between: g (1 - γᵀ) / (1 - γ) + γᵀ e is a weighted mean of
        g / (1 - γ) and e.
        """
        low = jnp.minimum(self.reward_min / (1 - discount), self.terminal_reward_min)
        high = jnp.maximum(self.reward_max / (1 - discount), self.terminal_reward_max)
        return jnp.minimum(0.0, low), jnp.maximum(0.0, high)


def identity_normaliser(observation_size: int) -> Normaliser:
    """The normaliser before any data: zero means, unit scales, all reward bounds zero."""
    zeros, ones = jnp.zeros(observation_size), jnp.ones(observation_size)
    zero, one = jnp.zeros(()), jnp.ones(())
    normaliser = Normaliser(
        observation_mean=zeros,
        observation_std=ones,
        delta_mean=zeros,
        delta_std=ones,
        reward_mean=zero,
        reward_std=one,
        terminal_reward_mean=zero,
        terminal_reward_std=one,
        reward_offset=zero,
        reward_min=zero,
        reward_max=zero,
        terminal_reward_min=zero,
        terminal_reward_max=zero,
        reward_rms=zero,
        seen_terminal=jnp.array(False),
    )
    return jax.tree.map(jnp.copy, normaliser)  # the loop donates it, and each buffer only once


def fit_normaliser(
    data: Transitions,
    center_rewards: bool = False,
    seen_terminal: Bool[Array, ""] | bool = False,
) -> Normaliser:
    """The statistics of all transitions.

    With `center_rewards`, the mean reward is the offset until an episode has terminated. Where none
    ever does, a constant in each reward changes no decision, but its size would hide differences.
    `seen_terminal` says whether one had terminated before, and may have left the buffer since.
    """
    transitions, valid = data.rows, data.valid
    delta = transitions.next_observation - transitions.observation
    nonterminal, terminal = valid & ~transitions.terminated, valid & transitions.terminated
    mean = _mean(transitions.reward, nonterminal)
    seen_terminal = seen_terminal | jnp.any(terminal)
    offset = jnp.where(center_rewards & ~seen_terminal, mean, 0.0)
    reward = transitions.reward - offset
    # Of constant rewards, the offset leaves rounding errors.
    size = jnp.max(jnp.abs(transitions.reward), where=valid, initial=0.0)
    rms = jnp.sqrt(jnp.mean(reward**2, where=valid))
    largest = jnp.max(jnp.abs(reward), where=valid, initial=0.0)
    unit = jnp.where(largest > 1e-6 * size, largest, jnp.where(size > 0, size, 1.0))
    return Normaliser(
        *_mean_and_std(transitions.observation, valid),
        *_mean_and_std(delta, valid),
        *_reward_mean_and_std(transitions.reward, nonterminal, unit),
        *_reward_mean_and_std(transitions.reward, terminal, unit),
        offset,
        *_min_max(reward, nonterminal),
        *_min_max(reward, terminal),
        jnp.where(rms > 1e-6 * size, rms, size),
        seen_terminal,
    )


def _mean(values: Float[Array, "capacity *rest"], where: Array) -> Array:
    """Mean of the masked values; zero if there are none."""
    return jnp.where(jnp.any(where), jnp.mean(values, axis=0, where=where), 0.0)


def _mean_and_std(values: Float[Array, "capacity *rest"], mask: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the masked values; zero and one if there are none."""
    where = mask.reshape(mask.shape + (1,) * (values.ndim - 1))
    mean, std = _mean(values, where), jnp.std(values, axis=0, where=where)
    # A constant has no scale; its std is zero or rounding error of the mean.
    rounding = 1e-6 * jnp.maximum(1.0, jnp.abs(mean))
    return mean, jnp.where(std > rounding, std, 1.0)


def _reward_mean_and_std(
    rewards: Float[Array, " capacity"], mask: Array, unit: Float[Array, ""]
) -> tuple[Array, Array]:
    """Mean and standard deviation of the masked rewards, which scale with the unit of reward.

    The scale of a constant reward (CartPole's) is its size; that of none or of zeros is `unit`.
    """
    size = jnp.max(jnp.abs(rewards), where=mask, initial=0.0)
    std = jnp.std(rewards, where=mask)
    return _mean(rewards, mask), jnp.where(std > 1e-6 * size, std, jnp.where(size > 0, size, unit))


def _min_max(values: Float[Array, " capacity"], mask: Array) -> tuple[Array, Array]:
    """Minimum and maximum of the masked values; infinity and minus infinity if there are none."""
    smallest = jnp.min(values, where=mask, initial=jnp.inf)
    return smallest, jnp.max(values, where=mask, initial=-jnp.inf)
