"""CEM: the cross-entropy method (Rubinstein 1999; for planning as in PETS, Chua et al. 2018)."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mbrl.planners.base import check_at_least_one, check_discount
from mbrl.planners.sampling import SAMPLING_METRICS, AbstractSamplingPlanner
from mbrl.types import AbstractActionSpace


class CEM(AbstractSamplingPlanner):
    """Refits the distribution over plans to the elites, the best `num_elites` of each iteration's candidates."""

    METRICS: ClassVar[dict[str, str]] = SAMPLING_METRICS

    action_space: AbstractActionSpace
    discount: float = eqx.field(static=True)
    horizon: int = eqx.field(static=True)  # steps
    population_size: int = eqx.field(static=True)  # plans an iteration
    num_elites: int = eqx.field(static=True)  # plans
    num_iterations: int = eqx.field(static=True)
    momentum: float = eqx.field(static=True)  # share of the old distribution that a refit keeps
    act_on: str = eqx.field(static=True)  # "distribution": its mode; "best_sample": the best plan seen

    def weights(self, scores):
        values, places = jax.lax.top_k(scores, self.num_elites)
        finite = jnp.isfinite(values).astype(scores.dtype)
        return jnp.zeros_like(scores).at[places].set(finite / jnp.maximum(jnp.sum(finite), 1.0))

    def __check_init__(self):
        check_discount(self.discount)
        check_at_least_one(self, "horizon", "population_size", "num_elites", "num_iterations")
        if self.num_elites > self.population_size:
            raise ValueError(
                f"planner.num_elites={self.num_elites} exceeds planner.population_size={self.population_size}: "
                "elites are chosen from the population; lower the one or raise the other."
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"planner.momentum={self.momentum} must be in [0, 1): the share of the old plan kept; try 0.1.")
        if self.act_on not in ("distribution", "best_sample"):
            raise ValueError(f"planner.act_on={self.act_on} must be 'distribution' or 'best_sample'.")
