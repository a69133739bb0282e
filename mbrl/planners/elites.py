"""Elites: the best plans of a population, to which CEM and its relatives refit."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mbrl.planners.base import check_count
from mbrl.planners.plans import check_initial_std, widest_plan
from mbrl.planners.sampling import MOST_ITERATIONS, AbstractSamplingPlanner


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
    act_on: str = eqx.field(
        static=True
    )  # "distribution": its mode; "best_sample": the best plan seen

    def start(self):
        return widest_plan(self.action_space, self.horizon, self.initial_std)

    def refit(self, distribution, plans, scores):
        return distribution.refit(plans, elite_weights(scores, self.num_elites), self.momentum)

    def choose(self, distribution, best_sample):
        return distribution.best() if self.act_on == "distribution" else best_sample

    def __check_init__(self):
        check_count(self, "num_iterations", MOST_ITERATIONS)
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
        if self.act_on not in ("distribution", "best_sample"):
            raise ValueError(
                f"planner.act_on={self.act_on} must be 'distribution' or 'best_sample'."
            )


def elite_weights(
    scores: Float[Array, " population"], num_elites: int
) -> Float[Array, " population"]:
    """Equal weights on the `num_elites` best scores, none on the others nor on those that are no finite number; they sum to one."""
    values, places = jax.lax.top_k(scores, num_elites)
    finite = jnp.isfinite(values).astype(scores.dtype)
    return jnp.zeros_like(scores).at[places].set(finite / jnp.maximum(jnp.sum(finite), 1.0))
