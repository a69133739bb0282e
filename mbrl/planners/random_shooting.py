"""Random shooting: the best of uniformly random plans (Nagabandi et al. 2018, §IV-C)."""

from mbrl.planners.plans import initial_plan_distribution, random_plans
from mbrl.planners.sampling import AbstractSamplingPlanner, Schedule


class RandomShooting(AbstractSamplingPlanner):
    """Samples plans once and takes the best. It fits no distribution and carries no state."""

    def schedule(self):
        return Schedule((self.population_size,))

    def initial_distribution(self):
        # Required by the base class; it is never sampled from.
        return initial_plan_distribution(self.action_space, self.horizon, initial_std=1.0)

    def sample(self, key, distribution, num_plans):
        return random_plans(key, self.action_space, num_plans, self.horizon)

    def refit(self, distribution, plans, scores):
        return distribution

    def select_plan(self, distribution, best_sample):
        return best_sample
