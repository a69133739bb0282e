"""Distributions over plans: sampling planners draw candidates from them and refit them.

The sampling planners distinguish discrete and continuous actions here and nowhere else. Both
distributions are over action features (`types.py`) and turn standard normal noise into plans, so
that either can be sampled with white, coloured or smoothed noise.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from mbrl.types import MAX_FACTOR, AbstractActionSpace, Box, Discrete, MultiDiscrete

SAMPLE_CLIP = 1.1  # bound of Gaussian samples, for actions in [-1, 1]


class AbstractPlanDistribution(eqx.Module):
    """Distributions over the features of the action at each step of a horizon."""

    @abstractmethod
    def sample(
        self, noise: Float[Array, "population horizon features"]
    ) -> Shaped[Array, "population horizon *action"]:
        """Candidate plans, one for each sequence of noise; `actions` maps them into the bounds."""

    @abstractmethod
    def actions(self, plans: Shaped[Array, "*plans"]) -> Shaped[Array, "*plans"]:
        """The actions that plans execute, clipped to the bounds."""

    @abstractmethod
    def refit(
        self,
        plans: Shaped[Array, "population horizon *action"],
        weights: Float[Array, " population"],
        momentum: float,
    ) -> "AbstractPlanDistribution":
        """momentum · this distribution + (1 - momentum) · the weighted maximum-likelihood fit.

        Weights sum to one.
        """

    @abstractmethod
    def with_mean(
        self,
        plans: Shaped[Array, "population horizon *action"],
        weights: Float[Array, " population"],
    ) -> "AbstractPlanDistribution":
        """The distribution around the plans' weighted mean; a Gaussian keeps its std."""

    @abstractmethod
    def mode(self) -> Shaped[Array, "horizon *action"]:
        """The most likely plan."""

    @abstractmethod
    def shifted(self) -> "AbstractPlanDistribution":
        """The initial distribution of the next decision: one step later, and wide again.

        The last step is as in the initial distribution.
        """


class CategoricalPlan(AbstractPlanDistribution):
    """Probabilities of each feature at each step.

    They are over the actions of a Discrete space, or over each entry of a MultiDiscrete one.
    """

    action_space: AbstractActionSpace
    probabilities: Float[Array, "horizon features"]

    def sample(self, noise):
        # The Gumbel-max trick: argmax of log p + Gumbel noise is a sample from p.
        # If z is standard normal, -log(-log Φ(z)) is Gumbel.
        gumbel = -jnp.log(-jax.scipy.special.log_ndtr(noise))
        logits = jnp.log(self.probabilities)[None] + gumbel
        return jax.vmap(jax.vmap(self.action_space.from_features))(logits)

    def actions(self, plans):
        return plans

    def refit(self, plans, weights, momentum):
        features = jax.vmap(jax.vmap(self.action_space.features))(plans)
        fitted = jnp.einsum("p,phf->hf", weights, features)
        probabilities = momentum * self.probabilities + (1 - momentum) * fitted
        return CategoricalPlan(self.action_space, probabilities)

    def with_mean(self, plans, weights):
        return self.refit(plans, weights, 0.0)

    def mode(self):
        return jax.vmap(self.action_space.from_features)(self.probabilities)

    def shifted(self):
        uniform = jnp.broadcast_to(self.action_space.mean_features, self.probabilities.shape)
        shifted = jnp.concatenate([self.probabilities[1:], uniform[:1]])
        return CategoricalPlan(self.action_space, (shifted + uniform) / 2)


class GaussianPlan(AbstractPlanDistribution):
    """A Gaussian at each step, whose samples are clipped to [-1, 1] when they are executed.

    Samples are fitted before that, clipped only to [-SAMPLE_CLIP, SAMPLE_CLIP], and the fitted mean
    is clipped to [-1, 1]. The mean of fully clipped samples would never reach a bound, so plans
    would push less than the best ones. Unclipped samples, however far out, all act alike, and
    would pull the mean to the bound too soon (docs/lab-notes/planners.md).
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
        mean = self.actions(jnp.einsum("p,pha->ha", weights, plans))
        return GaussianPlan(mean, self.std, self.initial_std)

    def mode(self):
        return self.mean

    def shifted(self):
        mean = jnp.concatenate([self.mean[1:], jnp.zeros_like(self.mean[:1])])
        return GaussianPlan(mean, jnp.full_like(self.std, self.initial_std), self.initial_std)


def initial_plan_distribution(
    action_space: AbstractActionSpace, horizon: int, initial_std: float
) -> AbstractPlanDistribution:
    """Uniform probabilities, or Gaussians with mean zero and `initial_std`.

    Raises TypeError for another kind of action space.
    """
    mean = jnp.broadcast_to(action_space.mean_features, (horizon, action_space.num_features))
    if isinstance(action_space, Discrete | MultiDiscrete):
        return CategoricalPlan(action_space, mean)
    if isinstance(action_space, Box):
        return GaussianPlan(mean, jnp.full(mean.shape, initial_std, float), initial_std)
    raise TypeError(
        f"{type(action_space).__name__} actions have no plan distribution. "
        "Add one to planners/plans.py."
    )


def check_initial_std(initial_std: float) -> None:
    """Raises ValueError for a standard deviation that is not positive, or absurdly large."""
    if not 0 < initial_std <= MAX_FACTOR:
        raise ValueError(
            f"planner.initial_std={initial_std}: must be positive and at most {MAX_FACTOR}, for "
            "actions in [-1, 1]. Try 0.5."
        )


def random_plans(
    key: PRNGKeyArray, action_space: AbstractActionSpace, population_size: int, horizon: int
) -> Shaped[Array, "population horizon *action"]:
    """Plans of uniformly random actions."""
    keys = jax.random.split(key, (population_size, horizon))
    return jax.vmap(jax.vmap(action_space.sample))(keys)
