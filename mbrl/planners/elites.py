"""Elites: the best plans of a population, to which CEM and its relatives refit."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mbrl.planners.base import check_count
from mbrl.planners.plans import check_initial_std, initial_plan
from mbrl.planners.sampling import MAX_ITERATIONS, AbstractSamplingPlanner


class AbstractElitePlanner(AbstractSamplingPlanner):
    """Refits the distribution over plans to the best `num_elites` of each iteration's candidates.

    Each differs in what it draws, and how much of it.
    """

    num_elites: int = eqx.field(static=True)  # plans
    num_iterations: int = eqx.field(static=True)
    momentum: float = eqx.field(static=True)  # share of the old distribution that a refit keeps
    initial_std: float = eqx.field(
        static=True
    )  # of actions in [-1, 1], at the start of every decision; for Box actions
    return_mode: str = eqx.field(
        static=True
    )  # "mode": the distribution's; "best_sample": the best plan seen

    def initial_distribution(self):
        return initial_plan(self.action_space, self.horizon, self.initial_std)

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
                f"planner.num_elites={self.num_elites} exceeds planner.population_size={self.population_size}: "
                "elites are chosen from the population; lower the one or raise the other."
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(
                f"planner.momentum={self.momentum} must be in [0, 1): the share of the old plan kept; try 0.1."
            )
        if self.return_mode not in ("mode", "best_sample"):
            raise ValueError(
                f"planner.return_mode={self.return_mode} must be 'mode' or 'best_sample'."
            )


def elite_weights(
    scores: Float[Array, " population"], num_elites: int
) -> Float[Array, " population"]:
    """Equal weights on the `num_elites` best scores, none on the others nor on those that are no finite number; they sum to one."""
    values, places = jax.lax.top_k(scores, num_elites)
    finite = jnp.isfinite(values).astype(scores.dtype)
    return jnp.zeros_like(scores).at[places].set(finite / jnp.maximum(jnp.sum(finite), 1.0))
