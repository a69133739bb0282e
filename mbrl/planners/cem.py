"""CEM: the cross-entropy method (Rubinstein 1999; for planning as in PETS, Chua et al. 2018)."""

from mbrl.planners.elites import AbstractElitePlanner
from mbrl.planners.noise import white_noise
from mbrl.planners.sampling import Schedule


class CEM(AbstractElitePlanner):
    """Samples each step of a plan independently, and equally many plans in each iteration."""

    def schedule(self):
        return Schedule((self.population_size,) * self.num_iterations)

    def sample(self, key, distribution, num_plans):
        shape = (num_plans, self.horizon, self.action_space.num_features)
        return distribution.sample(white_noise(key, shape))
