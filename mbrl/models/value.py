"""Value: the discounted return to expect from a state, beyond the planner's horizon."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mbrl.data.normaliser import Normaliser
from mbrl.models.networks import mlp


class AbstractValue(eqx.Module):
    """One member's value of an observation, in units of reward."""

    @abstractmethod
    def __call__(self, normaliser: Normaliser, observation: Float[Array, " observation"]) -> Float[Array, ""]:
        """The expected discounted return from here on."""


SCALE = 10.0  # steps of the largest reward that make one unit of a value network's output


class FittedValue(AbstractValue):
    """A network fitted to imagined returns (`training/fit_value.py`)."""

    network: eqx.nn.MLP

    def __init__(self, observation_size: int, key: PRNGKeyArray, width: int = 64, depth: int = 2, **unused):
        self.network = mlp(observation_size, "scalar", width, depth, key)

    def __call__(self, normaliser, observation):
        largest = jnp.maximum(jnp.abs(normaliser.reward_min), jnp.abs(normaliser.reward_max))
        return SCALE * largest * self.network(normaliser.observation(observation))


class ZeroValue(AbstractValue):
    """No value beyond the horizon."""

    def __init__(self, **unused):
        pass

    def __call__(self, normaliser, observation):
        return jnp.zeros(())
