"""Distributions over plans: what sampling planners draw candidates from and fit to the best of them.

Discrete and continuous actions differ here and nowhere else in the sampling planners. Both kinds of distribution live in the
space of action features (`types.py`) and turn standard normal noise into plans, so that the noise may be of any colour.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete

SAMPLE_CLIP = 1.1  # of Gaussian draws, for actions in [-1, 1]


class AbstractPlanDistribution(eqx.Module):
    """Distributions over the features of the action at each step of a horizon."""

    @abstractmethod
    def sample(
        self, noise: Float[Array, "population horizon features"]
    ) -> Shaped[Array, "population horizon *action"]:
        """Candidate plans, one for each sequence of standard normal noise; `actions` tells what each does."""

    @abstractmethod
    def actions(self, plans: Shaped[Array, "*plans"]) -> Shaped[Array, "*plans"]:
        """What plans do, within the bounds of actions."""

    @abstractmethod
    def refit(
        self,
        plans: Shaped[Array, "population horizon *action"],
        weights: Float[Array, " population"],
        momentum: float,
    ) -> "AbstractPlanDistribution":
        """momentum · this distribution + (1 - momentum) · the weighted maximum-likelihood fit; weights sum to one."""

    @abstractmethod
    def with_mean(
        self,
        plans: Shaped[Array, "population horizon *action"],
        weights: Float[Array, " population"],
    ) -> "AbstractPlanDistribution":
        """The distribution around the weighted mean of the plans, as wide as this one where width is a thing of its own."""

    @abstractmethod
    def mode(self) -> Shaped[Array, "horizon *action"]:
        """The plan that this distribution believes in: its mode."""

    @abstractmethod
    def shifted(self) -> "AbstractPlanDistribution":
        """The distribution one step later, to start the next decision from: the last step is fresh, all are wide again."""


class CategoricalPlan(AbstractPlanDistribution):
    """Probabilities of each feature at each step: of the actions of a Discrete space, or of each entry of a MultiDiscrete one."""

    action_space: AbstractActionSpace
    probabilities: Float[Array, "horizon features"]

    def sample(self, noise):
        # The Gumbel-max trick: the largest of log p + Gumbel noise is a draw from p. -log(-log Φ(z)) is Gumbel where z is normal.
        gumbel = -jnp.log(-jax.scipy.special.log_ndtr(noise))
        return jax.vmap(jax.vmap(self.action_space.from_features))(
            jnp.log(self.probabilities)[None] + gumbel
        )

    def actions(self, plans):
        return plans

    def refit(self, plans, weights, momentum):
        fitted = jnp.einsum("p,phf->hf", weights, _features(self.action_space, plans))
        return CategoricalPlan(
            self.action_space, momentum * self.probabilities + (1 - momentum) * fitted
        )

    def with_mean(self, plans, weights):
        return self.refit(plans, weights, 0.0)

    def mode(self):
        return jax.vmap(self.action_space.from_features)(self.probabilities)

    def shifted(self):
        uniform = jnp.broadcast_to(self.action_space.mean_features, self.probabilities.shape)
        moved = jnp.concatenate([self.probabilities[1:], uniform[:1]])
        return CategoricalPlan(self.action_space, (moved + uniform) / 2)


class GaussianPlan(AbstractPlanDistribution):
    """A Gaussian at each step, whose draws are clipped to [-1, 1] where they are acted on: a plan can stay at a bound, and leave it again.

    It is fitted to draws that reach a little beyond, and its mean kept within the bounds. The mean of clipped draws never comes to a
    bound, and what acts on it pushes less than the best plans do; draws far beyond, which all act alike, would pull it there from
    afar (docs/lab-notes/planners.md).
    """

    mean: Float[Array, "horizon action"]
    std: Float[Array, "horizon action"]
    initial_std: float = eqx.field(static=True)  # of actions in [-1, 1]

    def sample(self, noise):
        return jnp.clip(self.mean[None] + self.std[None] * noise, -SAMPLE_CLIP, SAMPLE_CLIP)

    def actions(self, plans):
        return jnp.clip(plans, -1.0, 1.0)

    def refit(self, plans, weights, momentum):
        mean = jnp.einsum("p,pha->ha", weights, plans)
        variance = jnp.einsum("p,pha->ha", weights, (plans - mean[None]) ** 2)
        return GaussianPlan(
            self.actions(momentum * self.mean + (1 - momentum) * mean),
            jnp.sqrt(momentum * self.std**2 + (1 - momentum) * variance),
            self.initial_std,
        )

    def with_mean(self, plans, weights):
        return GaussianPlan(
            self.actions(jnp.einsum("p,pha->ha", weights, plans)), self.std, self.initial_std
        )

    def mode(self):
        return self.mean

    def shifted(self):
        mean = jnp.concatenate([self.mean[1:], jnp.zeros_like(self.mean[:1])])
        return GaussianPlan(mean, jnp.full_like(self.std, self.initial_std), self.initial_std)


def initial_plan(
    action_space: AbstractActionSpace, horizon: int, initial_std: float
) -> AbstractPlanDistribution:
    """The distribution that prefers nothing."""
    centre = jnp.broadcast_to(action_space.mean_features, (horizon, action_space.num_features))
    if isinstance(action_space, Discrete | MultiDiscrete):
        return CategoricalPlan(action_space, centre)
    if isinstance(action_space, Box):
        return GaussianPlan(centre, jnp.full(centre.shape, initial_std, float), initial_std)
    raise TypeError(
        f"{type(action_space).__name__} actions have no plan distribution; add one to planners/plans.py."
    )


def check_initial_std(initial_std: float) -> None:
    """Raises ValueError for a spread that no distribution has."""
    if not initial_std > 0:
        raise ValueError(
            f"planner.initial_std={initial_std} must be positive: of actions in [-1, 1]; try 0.5."
        )


def random_plans(
    key: PRNGKeyArray, action_space: AbstractActionSpace, population_size: int, horizon: int
) -> Shaped[Array, "population horizon *action"]:
    """Plans of uniformly random actions."""
    return jax.vmap(jax.vmap(action_space.sample))(
        jax.random.split(key, (population_size, horizon))
    )


def _features(
    action_space: AbstractActionSpace, plans: Shaped[Array, "population horizon *action"]
):
    return jax.vmap(jax.vmap(action_space.features))(plans)
