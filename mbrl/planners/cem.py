"""CEM: the cross-entropy method (Rubinstein 1999; for planning as in PETS, Chua et al. 2018)."""

import equinox as eqx

from mbrl.planners.elites import check_elites, elite_weights
from mbrl.planners.noise import white_noise
from mbrl.planners.plans import widest_plan
from mbrl.planners.sampling import AbstractSamplingPlanner, Schedule


class CEM(AbstractSamplingPlanner):
    """Refits the distribution over plans to the elites, the best `num_elites` of each iteration's candidates."""

    num_elites: int = eqx.field(static=True)  # plans
    num_iterations: int = eqx.field(static=True)
    momentum: float = eqx.field(static=True)  # share of the old distribution that a refit keeps
    initial_std: float = eqx.field(static=True)  # of actions in [-1, 1], at the start of every decision; for Box actions
    act_on: str = eqx.field(static=True)  # "distribution": its mode; "best_sample": the best plan seen

    def schedule(self):
        return Schedule((self.population_size,) * self.num_iterations)

    def sample(self, key, distribution, num_plans):
        return distribution.sample(white_noise(key, (num_plans, self.horizon, self.action_space.num_features)))

    def refit(self, distribution, plans, scores):
        return distribution.refit(plans, elite_weights(scores, self.num_elites), self.momentum)

    def start(self):
        return widest_plan(self.action_space, self.horizon, self.initial_std)

    def choose(self, distribution, best_sample):
        return distribution.best() if self.act_on == "distribution" else best_sample

    def __check_init__(self):
        check_elites(self)
