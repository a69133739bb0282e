"""Termination: whether the episode goes on after a step."""

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
    """One member's opinion on whether a step ends the task. A time limit is not in the state, and is no termination."""

    @abstractmethod
    def __call__(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
    ) -> Float[Array, ""]:
        """The continuation: the probability that the episode goes on."""

    @abstractmethod
    def loss(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
        terminated: Bool[Array, ""],
    ) -> Float[Array, ""]:
        """How badly a real termination was predicted, in nats; zero where nothing is learned."""


class LearnedTermination(AbstractTermination):
    """A classifier of where the step led, which is what ends an episode.

    Where it began and by which action is left out (as in Dreamer, Hafner et al. 2020): of a handful of ends one action or the other
    would be blamed by chance.
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
    """A pure JAX function of (observation, action features, next observation) that says whether the step ends the task."""

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
                "model/termination=known needs the environment's termination function, and env.known_termination is null here: "
                "choose an environment that has one (conf/env), write one, or learn it: model/termination=learned."
            )
        self.function = function

    def __call__(self, normaliser, observation, action, next_observation):
        return 1.0 - self.function(observation, action, next_observation).astype(jnp.float32)

    def loss(self, normaliser, observation, action, next_observation, terminated):
        return jnp.zeros(())


class NoTermination(AbstractTermination):
    """The episode always goes on."""

    def __init__(
        self, observation_size: int = 0, num_features: int = 0, key: PRNGKeyArray | None = None
    ):
        pass

    def __call__(self, normaliser, observation, action, next_observation):
        return jnp.ones(())

    def loss(self, normaliser, observation, action, next_observation, terminated):
        return jnp.zeros(())
