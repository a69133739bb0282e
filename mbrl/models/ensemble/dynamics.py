"""Dynamics: prediction of the next observation."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mbrl.data.normaliser import Normaliser
from mbrl.envs.true_dynamics import AbstractTrueDynamics
from mbrl.models.networks import mlp

# Of the log-variance of the normalised change, before learning.
INITIAL_MIN_LOG_VARIANCE, INITIAL_MAX_LOG_VARIANCE = -10.0, 0.5
BOUND_WEIGHT = 0.01  # of the distance between the bounds in the loss, which draws them together


class AbstractDynamics(eqx.Module):
    """One member's dynamics; inputs and outputs in the environment's units."""

    @abstractmethod
    def mean(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
    ) -> Float[Array, " observation"]:
        """The expected next observation."""

    @abstractmethod
    def sample(
        self,
        normaliser: Normaliser,
        key: PRNGKeyArray,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
    ) -> Float[Array, " observation"]:
        """A sample of the next observation; the mean where the dynamics are deterministic."""

    @abstractmethod
    def loss(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
    ) -> Float[Array, ""]:
        """Error on a real next observation, in normalised units; zero where nothing is learned."""


class ResidualDynamics(AbstractDynamics):
    """Deterministic network that predicts the change of the observation: s' = s + Δ(s, a)."""

    network: eqx.nn.MLP

    def __init__(
        self,
        observation_size: int,
        num_features: int,
        key: PRNGKeyArray,
        width: int = 64,
        depth: int = 2,
    ):
        self.network = mlp(observation_size + num_features, observation_size, width, depth, key)

    def mean(self, normaliser, observation, action):
        delta = self._normalised_delta(normaliser, observation, action)
        return observation + normaliser.delta_mean + normaliser.delta_std * delta

    def sample(self, normaliser, key, observation, action):
        return self.mean(normaliser, observation, action)

    def loss(self, normaliser, observation, action, next_observation):
        target = normaliser.delta(next_observation - observation)
        return jnp.mean((self._normalised_delta(normaliser, observation, action) - target) ** 2)

    def _normalised_delta(self, normaliser, observation, action):
        return self.network(jnp.concatenate([normaliser.observation(observation), action]))


class GaussianDynamics(AbstractDynamics):
    """Network that predicts mean and variance of the change of the observation.

    After PETS (Chua et al. 2018, §4 and appendix A.1). Outside the data a network's variance is
    arbitrary, so its logarithm is softly clipped to two learned bounds.
    """

    network: eqx.nn.MLP
    low: Float[Array, " observation"]  # log-variance
    high: Float[Array, " observation"]

    def __init__(
        self,
        observation_size: int,
        num_features: int,
        key: PRNGKeyArray,
        width: int = 64,
        depth: int = 2,
    ):
        self.network = mlp(observation_size + num_features, 2 * observation_size, width, depth, key)
        self.low = jnp.full(observation_size, INITIAL_MIN_LOG_VARIANCE, jnp.float32)
        self.high = jnp.full(observation_size, INITIAL_MAX_LOG_VARIANCE, jnp.float32)

    def mean(self, normaliser, observation, action):
        mean, _ = self._normalised_delta(normaliser, observation, action)
        return observation + normaliser.delta_mean + normaliser.delta_std * mean

    def sample(self, normaliser, key, observation, action):
        mean, log_variance = self._normalised_delta(normaliser, observation, action)
        delta = mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape)
        return observation + normaliser.delta_mean + normaliser.delta_std * delta

    def loss(self, normaliser, observation, action, next_observation):
        mean, log_variance = self._normalised_delta(normaliser, observation, action)
        target = normaliser.delta(next_observation - observation)
        # Twice the negative log-likelihood of the Gaussian, minus a constant (eq. 1).
        nll = jnp.mean((mean - target) ** 2 * jnp.exp(-log_variance) + log_variance)
        return nll + BOUND_WEIGHT * jnp.sum(self.high - self.low)

    def _normalised_delta(self, normaliser, observation, action):
        outputs = self.network(jnp.concatenate([normaliser.observation(observation), action]))
        mean, log_variance = jnp.split(outputs, 2)
        log_variance = self.high - jax.nn.softplus(self.high - log_variance)
        return mean, self.low + jax.nn.softplus(log_variance - self.low)


class KnownDynamics(AbstractDynamics):
    """The environment's true dynamics: planning errors are then the planner's alone."""

    function: AbstractTrueDynamics

    def __init__(
        self,
        function: AbstractTrueDynamics | None,
        observation_size: int = 0,
        num_features: int = 0,
        key: PRNGKeyArray | None = None,
    ):
        if function is None:
            raise ValueError(
                "env.true_dynamics=null: model=oracle needs the environment's true dynamics. "
                "Choose an environment that has them (conf/env), implement them, or set "
                "model=ensemble."
            )
        self.function = function

    def mean(self, normaliser, observation, action):
        return self._next(None, observation, action)

    def sample(self, normaliser, key, observation, action):
        return self._next(key, observation, action)

    def loss(self, normaliser, observation, action, next_observation):
        return jnp.zeros(())

    def _next(self, key: PRNGKeyArray | None, observation, action):
        state = self.function.step(key, self.function.from_observation(observation), action)
        return self.function.observe(state)
