"""Distributions over plans: what sampling planners draw candidates from and fit to the best of them.

Discrete and continuous actions differ here and nowhere else in the sampling planners.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from mbrl.types import AbstractActionSpace, Box, Discrete


class AbstractPlanDistribution(eqx.Module):
    """Independent distributions over the action at each step of a horizon."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray, population_size: int) -> Shaped[Array, "population horizon *action"]:
        """Candidate plans."""

    @abstractmethod
    def refit(
        self, plans: Shaped[Array, "population horizon *action"], weights: Float[Array, " population"], momentum: float
    ) -> "AbstractPlanDistribution":
        """momentum · this distribution + (1 - momentum) · the weighted maximum-likelihood fit; weights sum to one."""

    @abstractmethod
    def best(self) -> Shaped[Array, "horizon *action"]:
        """The plan that this distribution believes in: its mode."""

    @abstractmethod
    def shifted(self) -> "AbstractPlanDistribution":
        """The distribution one step later, to start the next decision from: the last step is fresh, all are wide again."""


class CategoricalPlan(AbstractPlanDistribution):
    """Probabilities of each action at each step."""

    probabilities: Float[Array, "horizon actions"]

    def sample(self, key, population_size):
        shape = (population_size, self.probabilities.shape[0])
        return jax.random.categorical(key, jnp.log(self.probabilities), shape=shape)

    def refit(self, plans, weights, momentum):
        chosen = jax.nn.one_hot(plans, self.probabilities.shape[1])
        fitted = jnp.einsum("p,pha->ha", weights, chosen)
        return CategoricalPlan(momentum * self.probabilities + (1 - momentum) * fitted)

    def best(self):
        return jnp.argmax(self.probabilities, axis=1)

    def shifted(self):
        uniform = jnp.full_like(self.probabilities, 1 / self.probabilities.shape[1])
        moved = jnp.concatenate([self.probabilities[1:], uniform[:1]])
        return CategoricalPlan((moved + uniform) / 2)


class GaussianPlan(AbstractPlanDistribution):
    """A Gaussian at each step, truncated at two standard deviations and to [-1, 1] (as PETS: Chua et al. 2018, §5)."""

    mean: Float[Array, "horizon action"]
    std: Float[Array, "horizon action"]

    def sample(self, key, population_size):
        noise = jax.random.truncated_normal(key, -2.0, 2.0, (population_size, *self.mean.shape))
        # The spread is kept within half the distance to the nearer bound, so that two of them stay inside.
        room = jnp.minimum(self.mean + 1.0, 1.0 - self.mean) / 2
        return self.mean[None] + jnp.minimum(self.std, room)[None] * noise

    def refit(self, plans, weights, momentum):
        mean = jnp.einsum("p,pha->ha", weights, plans)
        variance = jnp.einsum("p,pha->ha", weights, (plans - mean[None]) ** 2)
        return GaussianPlan(
            momentum * self.mean + (1 - momentum) * mean,
            jnp.sqrt(momentum * self.std**2 + (1 - momentum) * variance),
        )

    def best(self):
        return self.mean

    def shifted(self):
        mean = jnp.concatenate([self.mean[1:], jnp.zeros_like(self.mean[:1])])
        return GaussianPlan(mean, jnp.full_like(self.std, INITIAL_STD))


INITIAL_STD = 0.5  # half of the distance from the middle of [-1, 1] to its ends: two of them reach the bounds


def widest_plan(action_space: AbstractActionSpace, horizon: int) -> AbstractPlanDistribution:
    """The distribution that prefers nothing."""
    if isinstance(action_space, Discrete):
        return CategoricalPlan(jnp.full((horizon, action_space.num_actions), 1 / action_space.num_actions, float))
    if isinstance(action_space, Box):
        shape = (horizon, action_space.size)
        return GaussianPlan(jnp.zeros(shape), jnp.full(shape, INITIAL_STD, float))
    raise TypeError(f"{type(action_space).__name__} actions have no plan distribution; add one to planners/plans.py.")
