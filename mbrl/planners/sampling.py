"""The skeleton of the sampling planners: draw plans, score them in the model, fit the distribution to the good ones."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mbrl.models import imagine
from mbrl.planners.base import AbstractPlanner
from mbrl.planners.plans import AbstractPlanDistribution, widest_plan

SAMPLING_METRICS = {
    "score_best": "Best imagined return of the decision's candidates, in units of reward; mean over the episode's decisions.",
    "score_mean": "Mean imagined return of the last iteration's candidates, those that are no finite number left out; same mean.",
    "score_std": "Standard deviation of the same returns: how much the choice seems to matter; same mean.",
    "invalid_fraction": "Share of candidates whose imagined return was not a finite number; same mean.",
}


class AbstractSamplingPlanner(AbstractPlanner):
    """A planner whose state is a distribution over plans. Each differs in how it weighs the candidates."""

    discount: eqx.AbstractVar[float]
    horizon: eqx.AbstractVar[int]
    population_size: eqx.AbstractVar[int]
    num_iterations: eqx.AbstractVar[int]
    momentum: eqx.AbstractVar[float]
    act_on: eqx.AbstractVar[str]

    @abstractmethod
    def weights(self, scores: Float[Array, " population"]) -> Float[Array, " population"]:
        """How much each candidate counts in the refit; they sum to one."""

    def init(self, key):
        return widest_plan(self.action_space, self.horizon)

    def plan(self, key, model, observation, state):
        encode_key, *keys = jax.random.split(key, self.num_iterations + 1)
        start = imagine.begin(encode_key, model, observation)

        def iterate(distribution: AbstractPlanDistribution, key):
            sample_key, score_key = jax.random.split(key)
            plans = distribution.sample(sample_key, self.population_size)
            # One key for all: candidates are compared under the same luck of the model.
            scores = jax.vmap(lambda plan: imagine.score(score_key, model, start, plan, self.discount))(plans)
            # With no finite score there is nothing to learn from, and the distribution stays as it was.
            refitted = distribution.refit(plans, self.weights(scores), self.momentum)
            usable = jnp.any(jnp.isfinite(scores))
            kept = jax.tree.map(lambda new, old: jnp.where(usable, new, old), refitted, distribution)
            return kept, (plans[jnp.argmax(scores)], scores)

        distribution, (best_plans, scores) = jax.lax.scan(iterate, state, jnp.stack(keys))
        best_of_iteration = jnp.max(scores, axis=1)
        plan = distribution.best() if self.act_on == "distribution" else best_plans[jnp.argmax(best_of_iteration)]
        finite = jnp.isfinite(scores[-1])
        info = {
            "score_best": jnp.max(best_of_iteration),
            "score_mean": jnp.mean(scores[-1], where=finite),
            "score_std": jnp.std(scores[-1], where=finite),
            "invalid_fraction": jnp.mean(~jnp.isfinite(scores)),
        }
        return plan[0], distribution.shifted(), info
