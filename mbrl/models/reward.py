"""Reward: what a step yields."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mbrl.data.normaliser import Normaliser
from mbrl.models.networks import mlp


class AbstractReward(eqx.Module):
    """One member's reward of a step, in the environment's units."""

    @abstractmethod
    def __call__(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
    ) -> Float[Array, ""]:
        """The reward of the step."""

    @abstractmethod
    def loss(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
        reward: Float[Array, ""],
    ) -> Float[Array, ""]:
        """How badly a real reward was predicted, in normalised units; zero where nothing is learned."""


class LearnedReward(AbstractReward):
    """A network of the step's two ends and its action: most rewards are a function of where the step led."""

    network: eqx.nn.MLP

    def __init__(self, observation_size: int, num_features: int, key: PRNGKeyArray, width: int = 64, depth: int = 1):
        self.network = mlp(2 * observation_size + num_features, "scalar", width, depth, key)

    def __call__(self, normaliser, observation, action, next_observation):
        return normaliser.reward_mean + normaliser.reward_std * self._normalised(normaliser, observation, action, next_observation)

    def loss(self, normaliser, observation, action, next_observation, reward):
        return (self._normalised(normaliser, observation, action, next_observation) - normaliser.reward(reward)) ** 2

    def _normalised(self, normaliser, observation, action, next_observation):
        ends = [normaliser.observation(observation), normaliser.observation(next_observation)]
        return self.network(jnp.concatenate([*ends, action]))


class KnownReward(AbstractReward):
    """A pure JAX function of (observation, action features, next observation), where the reward is no secret."""

    function: Callable[[Array, Array, Array], Array] = eqx.field(static=True)

    def __init__(self, function: Callable[[Array, Array, Array], Array], **unused):
        self.function = function

    def __call__(self, normaliser, observation, action, next_observation):
        return self.function(observation, action, next_observation)

    def loss(self, normaliser, observation, action, next_observation, reward):
        return jnp.zeros(())
