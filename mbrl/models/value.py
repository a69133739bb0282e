"""Value: the expected discounted return from a state on, beyond the planner's horizon."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mbrl.data.normaliser import Normaliser
from mbrl.models.networks import mlp

OUTPUT_SCALE = 10.0  # typical rewards per unit of a value network's output


class AbstractValue(eqx.Module):
    """One member's value of an observation, in units of reward."""

    @abstractmethod
    def __call__(
        self, normaliser: Normaliser, observation: Float[Array, " observation"]
    ) -> Float[Array, ""]:
        """The expected discounted return from the observation on."""


class ValueNetwork(AbstractValue):
    """Network fitted to predicted returns by `models/ensemble/fit_value.py`."""

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
        output = self.network(normaliser.observation(observation))
        return OUTPUT_SCALE * normaliser.reward_rms * output


class ZeroValue(AbstractValue):
    """No value beyond the horizon."""

    def __init__(
        self, observation_size: int = 0, num_features: int = 0, key: PRNGKeyArray | None = None
    ):
        pass

    def __call__(self, normaliser, observation):
        return jnp.zeros(())
