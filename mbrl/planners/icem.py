"""iCEM: the improved cross-entropy method (Pinneri et al. 2020, algorithm 1)."""

import equinox as eqx

from mbrl.planners.elites import AbstractElitePlanner
from mbrl.planners.noise import MAX_EXPONENT, coloured_noise
from mbrl.planners.sampling import Schedule


class ICEM(AbstractElitePlanner):
    """CEM with coloured noise, reused elites, and a population that shrinks with each iteration.

    It needs a tenth of CEM's candidates for the same result, above all if actions must be held.
    """

    # β of the noise's spectral density 1/f^β: 0 white, 1 pink, 2 red.
    noise_exponent: float = eqx.field(static=True)
    # γ: the factor by which the population shrinks in each iteration.
    population_decay: float = eqx.field(static=True)
    # ξ: fraction of the elites that are candidates again in the next iteration and decision.
    elite_reuse_fraction: float = eqx.field(static=True)

    def schedule(self):
        # N_i = max(N γ^-i, 2 K); the last iteration includes the mean (§3.2, §3.3).
        smallest = min(2 * self.num_elites, self.population_size)
        num_plans = tuple(
            max(int(self.population_size * self.population_decay**-i), smallest)
            for i in range(self.num_iterations)
        )
        num_reused_elites = round(self.elite_reuse_fraction * self.num_elites)
        return Schedule(num_plans, num_reused_elites, mode_in_last=True)

    def sample(self, key, distribution, num_plans):
        shape = (num_plans, self.horizon, self.action_space.num_features)
        return distribution.sample(coloured_noise(key, shape, self.noise_exponent))

    def __check_init__(self):
        if not 0 <= self.noise_exponent <= MAX_EXPONENT:
            raise ValueError(
                f"planner.noise_exponent={self.noise_exponent}: must be in [0, {MAX_EXPONENT}]. "
                "White noise has 0, red noise 2. Try 2."
            )
        if self.population_decay < 1:
            raise ValueError(
                f"planner.population_decay={self.population_decay}: must be at least 1, which "
                "keeps the population's size. Try 1.25."
            )
        if not 0 <= self.elite_reuse_fraction <= 1:
            raise ValueError(
                f"planner.elite_reuse_fraction={self.elite_reuse_fraction}: must be in [0, 1]. "
                "It is the fraction of elites that are candidates again. Try 0.3."
            )
