"""Propagation: how an ensemble's particles pass from member to member (Chua et al. 2018, §4.1)."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


class AbstractPropagation(eqx.Module):
    """Each step deals the particles out to the members, equally many to each, and settles what their predictions become.

    Particles stand in the order of the members that they were dealt to first: the first `particles_per_member` to member 0,
    and so on. Reward, termination and value stay with that order too.
    """

    particles_per_member: eqx.AbstractVar[int]
    stochastic: eqx.AbstractClassVar[
        bool
    ]  # whether a step draws from what a member predicts, or takes its mean

    @abstractmethod
    def assign(self, key: PRNGKeyArray, num_particles: int) -> Int[Array, " particles"] | None:
        """The particles in the order in which the members get them; None: as they stand."""

    @abstractmethod
    def merge(
        self, predictions: Float[Array, "particles observation"]
    ) -> Float[Array, "particles observation"]:
        """Where the particles stand after a step."""

    def __check_init__(self):
        if self.particles_per_member < 1:
            raise ValueError(
                f"model.propagation.particles_per_member={self.particles_per_member} must be at least 1; raise it."
            )


class Expectation(AbstractPropagation):
    """One particle a member, and after each step all agree on their mean: what is random or uncertain is averaged away."""

    stochastic: ClassVar[bool] = False

    particles_per_member: int = eqx.field(static=True, default=1, init=False)

    def assign(self, key, num_particles):
        return None

    def merge(self, predictions):
        return jnp.broadcast_to(jnp.mean(predictions, axis=0), predictions.shape)


class TSInfinity(AbstractPropagation):
    """Trajectory sampling with bounds ∞: a particle keeps its member, so that a member's errors stay together."""

    stochastic: ClassVar[bool] = True

    particles_per_member: int = eqx.field(static=True)

    def assign(self, key, num_particles):
        return None

    def merge(self, predictions):
        return predictions


class TS1(AbstractPropagation):
    """Trajectory sampling with bound 1: the particles are shuffled among the members at each step."""

    stochastic: ClassVar[bool] = True

    particles_per_member: int = eqx.field(static=True)

    def assign(self, key, num_particles):
        return jax.random.permutation(key, num_particles)

    def merge(self, predictions):
        return predictions
