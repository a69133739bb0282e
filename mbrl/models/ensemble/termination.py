"""Termination: prediction of whether a step terminates the episode."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mbrl.data.normaliser import Normaliser
from mbrl.models.networks import mlp


class AbstractTermination(eqx.Module):
    """One member's termination. Time limits are not in the state and never count as termination."""

    @abstractmethod
    def __call__(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
    ) -> Float[Array, ""]:
        """The continuation: the probability that the episode continues after the step."""

    @abstractmethod
    def loss(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
        terminated: Bool[Array, ""],
    ) -> Float[Array, ""]:
        """Cross-entropy on a real step, in nats; zero where nothing is learned."""


class LearnedTermination(AbstractTermination):
    """Binary classifier of the next observation.

    It ignores observation and action (as Dreamer does, Hafner et al. 2020): from the few
    terminations in the data it would learn chance correlations with them.
    """

    network: eqx.nn.MLP

    def __init__(
        self,
        observation_size: int,
        num_features: int,
        key: PRNGKeyArray,
        width: int = 64,
        depth: int = 1,
    ):
        self.network = mlp(observation_size, "scalar", width, depth, key)

    def __call__(self, normaliser, observation, action, next_observation):
        return jax.nn.sigmoid(-self._logit(normaliser, next_observation))

    def loss(self, normaliser, observation, action, next_observation, terminated):
        logit = self._logit(normaliser, next_observation)
        return optax.sigmoid_binary_cross_entropy(logit, terminated.astype(logit.dtype))

    def _logit(self, normaliser, next_observation):
        return self.network(normaliser.observation(next_observation))


class KnownTermination(AbstractTermination):
    """The environment's termination: a pure JAX function of the step, true if it terminates.

    Its arguments are observation, action features and next observation.
    """

    function: Callable[[Array, Array, Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[[Array, Array, Array], Array] | None,
        observation_size: int = 0,
        num_features: int = 0,
        key: PRNGKeyArray | None = None,
    ):
        if function is None:
            raise ValueError(
                "env.known_termination=null: model/termination=known needs the environment's "
                "termination function. Choose an environment that has one (conf/env), implement "
                "one, or set model/termination=learned."
            )
        self.function = function

    def __call__(self, normaliser, observation, action, next_observation):
        return 1.0 - self.function(observation, action, next_observation).astype(jnp.float32)

    def loss(self, normaliser, observation, action, next_observation, terminated):
        return jnp.zeros(())


class NoTermination(AbstractTermination):
    """The episode always continues."""

    def __init__(
        self, observation_size: int = 0, num_features: int = 0, key: PRNGKeyArray | None = None
    ):
        pass

    def __call__(self, normaliser, observation, action, next_observation):
        return jnp.ones(())

    def loss(self, normaliser, observation, action, next_observation, terminated):
        return jnp.zeros(())
