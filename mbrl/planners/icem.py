"""iCEM: the improved cross-entropy method (Pinneri et al. 2020, algorithm 1)."""

import equinox as eqx

from mbrl.planners.elites import AbstractElitePlanner
from mbrl.planners.noise import MAX_EXPONENT, coloured_noise
from mbrl.planners.sampling import Schedule


class ICEM(AbstractElitePlanner):
    """CEM with noise that goes together over the steps of a plan, elites that are kept, and fewer plans each iteration.

    So it finds with a tenth of the candidates what CEM does, above all where an action must be held for a while.
    """

    noise_exponent: float = eqx.field(
        static=True
    )  # β of the noise's spectral density 1/f^β: 0 white, 1 pink, 2 red
    population_decay: float = eqx.field(
        static=True
    )  # γ: each iteration draws so many times fewer plans than the last
    elite_reuse_fraction: float = eqx.field(
        static=True
    )  # ξ: of the elites, that stand again in the next iteration and decision

    def schedule(self):
        # N_i = max(N γ^-i, 2 K); the mean stands among the last iteration's plans (§3.2, §3.3).
        sizes = [
            int(self.population_size * self.population_decay**-i)
            for i in range(self.num_iterations)
        ]
        enough = min(2 * self.num_elites, self.population_size)
        return Schedule(
            tuple(max(size, enough) for size in sizes),
            round(self.elite_reuse_fraction * self.num_elites),
            mode_in_last=True,
        )

    def sample(self, key, distribution, num_plans):
        shape = (num_plans, self.horizon, self.action_space.num_features)
        return distribution.sample(coloured_noise(key, shape, self.noise_exponent))

    def __check_init__(self):
        if not 0 <= self.noise_exponent <= MAX_EXPONENT:
            raise ValueError(
                f"planner.noise_exponent={self.noise_exponent} must be in [0, {MAX_EXPONENT}]: 0 is white noise, 2 red; try 2."
            )
        if self.population_decay < 1:
            raise ValueError(
                f"planner.population_decay={self.population_decay} must be at least 1, which keeps the size; try 1.25."
            )
        if not 0 <= self.elite_reuse_fraction <= 1:
            raise ValueError(
                f"planner.elite_reuse_fraction={self.elite_reuse_fraction} must be in [0, 1]: the share of the elites kept; try 0.3."
            )
