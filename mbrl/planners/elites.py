"""Elites: the best of a population, who share the weight among them."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mbrl.planners.base import check_at_least_one
from mbrl.planners.plans import check_initial_std


def elite_weights(scores: Float[Array, " population"], num_elites: int) -> Float[Array, " population"]:
    """Equal weights on the `num_elites` best scores, none on the others nor on those that are no finite number; they sum to one."""
    values, places = jax.lax.top_k(scores, num_elites)
    finite = jnp.isfinite(values).astype(scores.dtype)
    return jnp.zeros_like(scores).at[places].set(finite / jnp.maximum(jnp.sum(finite), 1.0))


def check_elites(planner: Any) -> None:
    """Raises ValueError for settings with which a distribution cannot be fitted to the elites of a population."""
    check_at_least_one(planner, "num_iterations", "num_elites")
    check_initial_std(planner.initial_std)
    if planner.num_elites > planner.population_size:
        raise ValueError(
            f"planner.num_elites={planner.num_elites} exceeds planner.population_size={planner.population_size}: "
            "elites are chosen from the population; lower the one or raise the other."
        )
    if not 0 <= planner.momentum < 1:
        raise ValueError(f"planner.momentum={planner.momentum} must be in [0, 1): the share of the old plan kept; try 0.1.")
    if planner.act_on not in ("distribution", "best_sample"):
        raise ValueError(f"planner.act_on={planner.act_on} must be 'distribution' or 'best_sample'.")
