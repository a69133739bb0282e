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
    def __call__(
        self, normaliser: Normaliser, observation: Float[Array, " observation"]
    ) -> Float[Array, ""]:
        """The expected discounted return from here on."""


SCALE = 10.0  # steps of a typical reward that make one unit of a value network's output


class ValueNetwork(AbstractValue):
    """A network fitted to imagined returns (`training/fit_value.py`)."""

    network: eqx.nn.MLP

    def __init__(
        self,
        observation_size: int,
        key: PRNGKeyArray,
        num_features: int = 0,
        width: int = 64,
        depth: int = 2,
    ):
        self.network = mlp(observation_size, "scalar", width, depth, key)

    def __call__(self, normaliser, observation):
        return SCALE * normaliser.reward_rms * self.network(normaliser.observation(observation))


class ZeroValue(AbstractValue):
    """No value beyond the horizon."""

    def __init__(
        self, observation_size: int = 0, num_features: int = 0, key: PRNGKeyArray | None = None
    ):
        pass

    def __call__(self, normaliser, observation):
        return jnp.zeros(())
