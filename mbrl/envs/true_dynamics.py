"""The interface of an environment's true dynamics."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray


class AbstractTrueDynamics(eqx.Module):
    """An environment's equations of motion in JAX, in which model=oracle plans.

    The state is the physical one (angles, where the observation has their cosine and sine). It is
    Markov: with the action, it determines the distribution of the next state. Actions are features
    (`types.py`): one-hot for Discrete, values in [-1, 1] for Box, concatenated one-hots for
    MultiDiscrete. Units are the environment's own; each module names them. Time limits are not
    part of the dynamics, and a step from a terminal state is undefined.

    Everything is unbatched, pure and float32; callers `vmap` over particles, plans and seeds.
    """

    @abstractmethod
    def from_observation(self, observation: Float[Array, " observation"]) -> Float[Array, " state"]:
        """The physical state that has this observation; angles in [-π, π]."""

    @abstractmethod
    def step(
        self,
        key: PRNGKeyArray | None,
        state: Float[Array, " state"],
        action: Float[Array, " features"],
    ) -> Float[Array, " state"]:
        """The state one step later: a sample with a key, the mean without one."""

    @abstractmethod
    def observe(self, state: Float[Array, " state"]) -> Float[Array, " observation"]:
        """The observation of a state: `observe(from_observation(o)) == o` up to rounding."""
