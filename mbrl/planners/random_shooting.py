"""Random shooting: the best of uniformly random plans (Nagabandi et al. 2018, §IV-C)."""

from mbrl.planners.plans import initial_plan, random_plans
from mbrl.planners.sampling import AbstractSamplingPlanner, Schedule


class RandomShooting(AbstractSamplingPlanner):
    """Draws plans once and takes the best; nothing is refitted, nothing carried over."""

    def schedule(self):
        return Schedule((self.population_size,))

    def initial_distribution(self):
        return initial_plan(self.action_space, self.horizon, initial_std=1.0)  # never drawn from

    def sample(self, key, distribution, num_plans):
        return random_plans(key, self.action_space, num_plans, self.horizon)

    def refit(self, distribution, plans, scores):
        return distribution

    def select_plan(self, distribution, best_sample):
        return best_sample
