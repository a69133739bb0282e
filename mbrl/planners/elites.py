"""Planners that refit to elites, the best plans of a population: CEM and its variants."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mbrl.planners.base import check_count
from mbrl.planners.plans import check_initial_std, initial_plan_distribution
from mbrl.planners.sampling import MAX_ITERATIONS, AbstractSamplingPlanner


class AbstractElitePlanner(AbstractSamplingPlanner):
    """Refits the distribution over plans to the best `num_elites` candidates of each iteration.

    Subclasses define the schedule and how plans are sampled.
    """

    num_elites: int = eqx.field(static=True)  # plans
    num_iterations: int = eqx.field(static=True)
    # Weight of the old distribution in a refit.
    momentum: float = eqx.field(static=True)
    # Of Box actions in [-1, 1], at the start of every decision.
    initial_std: float = eqx.field(static=True)
    # "mode": act on the mode of the distribution; "best_sample": on the best plan sampled.
    return_mode: str = eqx.field(static=True)

    def initial_distribution(self):
        return initial_plan_distribution(self.action_space, self.horizon, self.initial_std)

    def refit(self, distribution, plans, scores):
        return distribution.refit(plans, elite_weights(scores, self.num_elites), self.momentum)

    def select_plan(self, distribution, best_sample):
        return distribution.mode() if self.return_mode == "mode" else best_sample

    def __check_init__(self):
        check_count(self, "num_iterations", MAX_ITERATIONS)
        check_count(self, "num_elites")
        check_initial_std(self.initial_std)
        if self.num_elites > self.population_size:
            raise ValueError(
                f"planner.num_elites={self.num_elites}: must not exceed planner.population_size="
                f"{self.population_size}. Lower the first or raise the second."
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(
                f"planner.momentum={self.momentum}: must be in [0, 1). It is the weight of the "
                "old distribution in a refit. Try 0.1."
            )
        if self.return_mode not in ("mode", "best_sample"):
            raise ValueError(
                f"planner.return_mode={self.return_mode}: must be 'mode' or 'best_sample'."
            )


def elite_weights(
    scores: Float[Array, " population"], num_elites: int
) -> Float[Array, " population"]:
    """Equal weights for the `num_elites` best scores; they sum to one.

    Scores that are not finite get no weight. If none is finite, all weights are zero.
    """
    values, indices = jax.lax.top_k(scores, num_elites)
    finite = jnp.isfinite(values).astype(scores.dtype)
    return jnp.zeros_like(scores).at[indices].set(finite / jnp.maximum(jnp.sum(finite), 1.0))
