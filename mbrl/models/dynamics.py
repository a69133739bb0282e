"""Dynamics: what the next observation will be."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mbrl.data.normaliser import Normaliser
from mbrl.models.networks import mlp


class AbstractDynamics(eqx.Module):
    """One member's dynamics. Inputs and outputs are in the environment's units; `normaliser` gives the scale."""

    @abstractmethod
    def __call__(
        self, normaliser: Normaliser, key: PRNGKeyArray, observation: Float[Array, " observation"], action: Float[Array, " features"]
    ) -> Float[Array, " observation"]:
        """A next observation."""

    @abstractmethod
    def loss(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
    ) -> Float[Array, ""]:
        """How badly a real next observation was predicted, in normalised units."""


class ResidualDynamics(AbstractDynamics):
    """A network that predicts the change of the observation, deterministically: s' = s + Δ(s, a)."""

    network: eqx.nn.MLP

    def __init__(self, observation_size: int, num_features: int, key: PRNGKeyArray, width: int = 64, depth: int = 2):
        self.network = mlp(observation_size + num_features, observation_size, width, depth, key)

    def __call__(self, normaliser, key, observation, action):
        delta = self._normalised_delta(normaliser, observation, action)
        return observation + normaliser.delta_mean + normaliser.delta_std * delta

    def loss(self, normaliser, observation, action, next_observation):
        target = normaliser.delta(next_observation - observation)
        return jnp.mean((self._normalised_delta(normaliser, observation, action) - target) ** 2)

    def _normalised_delta(self, normaliser, observation, action):
        return self.network(jnp.concatenate([normaliser.observation(observation), action]))
