"""MPPI: model-predictive path integral control (Williams et al. 2017).

Its smoothed noise follows Nagabandi et al. (2019).
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from mbrl.planners.base import check_count
from mbrl.planners.noise import smoothed_noise
from mbrl.planners.plans import check_initial_std, initial_plan_distribution
from mbrl.planners.sampling import MAX_ITERATIONS, AbstractSamplingPlanner, Schedule
from mbrl.types import MAX_FACTOR


class MPPI(AbstractSamplingPlanner):
    """Moves the plan to the mean of all candidates, each weighted by exp(score / temperature).

    For Box actions the noise keeps its standard deviation; the probabilities of discrete actions
    become their weighted frequencies.

    The temperature is in standard deviations of the candidates' scores, so that one value works
    for tasks whose rewards differ by orders of magnitude.
    """

    num_iterations: int = eqx.field(static=True)
    # λ, in standard deviations of the scores: near 0 takes the best plan, ∞ the mean of all.
    temperature: float = eqx.field(static=True)
    # ρ: correlation of the noise of consecutive steps.
    noise_correlation: float = eqx.field(static=True)
    # Of the noise on Box actions in [-1, 1].
    initial_std: float = eqx.field(static=True)

    def schedule(self):
        return Schedule((self.population_size,) * self.num_iterations)

    def initial_distribution(self):
        return initial_plan_distribution(self.action_space, self.horizon, self.initial_std)

    def sample(self, key, distribution, num_plans):
        shape = (num_plans, self.horizon, self.action_space.num_features)
        return distribution.sample(smoothed_noise(key, shape, self.noise_correlation))

    def refit(self, distribution, plans, scores):
        # w_k ∝ exp((S_k - max S) / λ) (Williams et al. 2017, eq. 27, with return = - cost).
        finite = jnp.isfinite(scores)
        unit = self.temperature * jnp.std(scores, where=finite) + jnp.finfo(scores.dtype).tiny
        weights = jax.nn.softmax(jnp.where(finite, (scores - jnp.max(scores)) / unit, -jnp.inf))
        return distribution.with_mean(plans, weights)

    def select_plan(self, distribution, best_sample):
        return distribution.mode()

    def __check_init__(self):
        check_count(self, "num_iterations", MAX_ITERATIONS)
        check_initial_std(self.initial_std)
        if not 0 < self.temperature <= MAX_FACTOR:
            raise ValueError(
                f"planner.temperature={self.temperature}: must be positive and at most "
                f"{MAX_FACTOR}, in standard deviations of the scores. Try 0.2."
            )
        if not 0 <= self.noise_correlation < 1:
            raise ValueError(
                f"planner.noise_correlation={self.noise_correlation}: must be in [0, 1). "
                "White noise has 0. Try 0.5."
            )
