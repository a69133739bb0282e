"""Propagation: how particles are assigned to an ensemble's members (Chua et al. 2018, §4.1)."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


class AbstractPropagation(eqx.Module):
    """Assigns equally many particles to each member in every step, and merges their predictions.

    Particles are ordered by the member that they start with: the first `particles_per_member`
    belong to member 0, and so on. Reward, termination and value always use that order.
    """

    particles_per_member: eqx.AbstractVar[int]
    # Whether a step samples from a member's prediction; otherwise it takes the mean.
    stochastic: eqx.AbstractClassVar[bool]

    @abstractmethod
    def assign(self, key: PRNGKeyArray, num_particles: int) -> Int[Array, " particles"] | None:
        """Indices of the particles in the order of the members; None for the order they have."""

    @abstractmethod
    def merge(
        self, predictions: Float[Array, "particles observation"]
    ) -> Float[Array, "particles observation"]:
        """The particles' observations after a step."""

    def __check_init__(self):
        if self.particles_per_member < 1:
            raise ValueError(
                f"model.propagation.particles_per_member={self.particles_per_member}: must be at "
                "least 1. Try 1."
            )


class Expectation(AbstractPropagation):
    """One particle per member, moved to the mean of all predictions after each step.

    Averages noise and uncertainty away.
    """

    stochastic: ClassVar[bool] = False

    particles_per_member: int = eqx.field(static=True, default=1, init=False)

    def assign(self, key, num_particles):
        return None

    def merge(self, predictions):
        return jnp.broadcast_to(jnp.mean(predictions, axis=0), predictions.shape)


class TSInfinity(AbstractPropagation):
    """Trajectory sampling TS∞: each particle keeps its member, so a member's errors accumulate."""

    stochastic: ClassVar[bool] = True

    particles_per_member: int = eqx.field(static=True)

    def assign(self, key, num_particles):
        return None

    def merge(self, predictions):
        return predictions


class TS1(AbstractPropagation):
    """Trajectory sampling TS1: particles are reassigned to members at random in each step."""

    stochastic: ClassVar[bool] = True

    particles_per_member: int = eqx.field(static=True)

    def assign(self, key, num_particles):
        return jax.random.permutation(key, num_particles)

    def merge(self, predictions):
        return predictions
