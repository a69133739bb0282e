"""The loop of the sampling planners: sample plans, score them in the model, refit the distribution.

A planner defines `sample` and `refit`, its schedule, and the plan to act on.
"""

from abc import abstractmethod
from functools import partial
from itertools import groupby
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.models import rollout
from mbrl.models.base import AbstractWorldModel
from mbrl.planners.base import AbstractPlanner, Decision, check_count, check_discount
from mbrl.planners.plans import AbstractPlanDistribution, random_plans
from mbrl.types import AbstractActionSpace

MAX_HORIZON = 10_000  # steps
MAX_ITERATIONS = 1000


class Schedule(NamedTuple):
    """The candidates of each iteration of a decision."""

    num_plans: tuple[int, ...]  # sampled in each iteration
    # Best plans that are candidates again in the next iteration and, shifted, the next decision.
    num_reused_elites: int = 0
    # Whether the distribution's mode is a candidate of the last iteration.
    mode_in_last: bool = False


class WarmStart(NamedTuple):
    """What a sampling planner carries from one decision to the next."""

    distribution: AbstractPlanDistribution
    elites: Shaped[Array, "elites horizon *action"]


class Best(NamedTuple):
    """The best plan of a decision so far."""

    plan: Shaped[Array, "horizon *action"]
    score: Float[Array, ""]


class AbstractSamplingPlanner(AbstractPlanner):
    """A planner whose state is a distribution over plans and the elites to reuse."""

    METRICS: ClassVar[dict[str, str]] = {
        "score_best": "Best imagined return of the decision's candidates, in units of reward; "
        "mean over the episode's decisions.",
        "score_mean": "Mean imagined return of the last iteration's candidates, except those that "
        "are not finite, in units of reward; mean over the episode's decisions.",
        "score_std": "Standard deviation of the same returns, in units of reward: how much the "
        "choice of a plan seems to matter; mean over the episode's decisions.",
        "invalid_fraction": "Fraction of candidates whose imagined return is not finite; "
        "mean over the episode's decisions.",
    }

    action_space: AbstractActionSpace
    discount: float = eqx.field(static=True)
    horizon: int = eqx.field(static=True)  # steps
    population_size: int = eqx.field(static=True)  # plans an iteration
    # Rollouts of the model's policy that are candidates of every iteration (TD-MPC2, Hansen et al.
    # 2024, algorithm 1), beside the population.
    num_policy_plans: int = eqx.field(static=True)

    @abstractmethod
    def schedule(self) -> Schedule:
        """The candidates of each iteration; depends on the settings only."""

    @abstractmethod
    def initial_distribution(self) -> AbstractPlanDistribution:
        """The distribution at the start of an episode."""

    @abstractmethod
    def sample(
        self, key: PRNGKeyArray, distribution: AbstractPlanDistribution, num_plans: int
    ) -> Shaped[Array, "population horizon *action"]:
        """Candidate plans."""

    @abstractmethod
    def refit(
        self,
        distribution: AbstractPlanDistribution,
        plans: Shaped[Array, "population horizon *action"],
        scores: Float[Array, " population"],
    ) -> AbstractPlanDistribution:
        """The distribution fitted to the scored candidates. A score that is not finite is -inf."""

    @abstractmethod
    def select_plan(
        self, distribution: AbstractPlanDistribution, best_sample: Shaped[Array, "horizon *action"]
    ) -> Shaped[Array, "horizon *action"]:
        """The plan to act on, given the final distribution and the best plan that was scored."""

    def init(self, key):
        num_elites = self.schedule().num_reused_elites
        elites = random_plans(key, self.action_space, num_elites, self.horizon)
        return WarmStart(self.initial_distribution(), elites)

    def plan(self, key, model, belief, state):
        num_plans, _, mode_in_last = self.schedule()
        policy_key, shift_key, *keys = jax.random.split(key, len(num_plans) + 2)
        start = rollout.start(model, belief)
        policy_plans = self._policy_plans(policy_key, model, belief)
        with_mode = [False] * (len(num_plans) - 1) + [mode_in_last]
        carry = (state, Best(state.distribution.mode(), jnp.array(-jnp.inf)))
        all_scores = []
        # Consecutive iterations of the same size are compiled as one loop.
        for sizes, group in groupby(zip(num_plans, with_mode, strict=True)):
            group_keys = jnp.stack([keys.pop(0) for _ in group])
            iterate = partial(self._iterate, model, start, policy_plans, *sizes)
            carry, scores = jax.lax.scan(iterate, carry, group_keys)
            all_scores.append(scores)
        warm_start, best = carry
        distribution = warm_start.distribution
        plan = distribution.actions(self.select_plan(distribution, best.plan))
        return Decision(plan[0], self._shift(shift_key, warm_start), _summary(all_scores))

    def _iterate(
        self,
        model: AbstractWorldModel,
        start: rollout.RolloutState,
        policy_plans: Shaped[Array, "plans horizon *action"],
        num_plans: int,
        with_mode: bool,
        carry: tuple[WarmStart, Best],
        key: PRNGKeyArray,
    ):
        """One iteration: samples plans, scores them and refits; returns the scores too."""
        (distribution, elites), best = carry
        sample_key, score_key = jax.random.split(key)
        candidates = [self.sample(sample_key, distribution, num_plans), elites]
        if with_mode:
            candidates.append(distribution.mode()[None])
        plans = jnp.concatenate([*candidates, policy_plans])
        # One key for all candidates, so that they are compared under the same noise of the model.
        scores = jax.vmap(
            lambda actions: rollout.plan_return(score_key, model, start, actions, self.discount)
        )(distribution.actions(plans))
        # If no score is finite, the distribution stays as it is.
        usable = jnp.any(jnp.isfinite(scores))
        refitted = self.refit(distribution, plans, scores)
        distribution = jax.tree.map(
            lambda new, old: jnp.where(usable, new, old), refitted, distribution
        )
        first = jnp.argmax(scores)
        better = scores[first] > best.score
        best = Best(
            jnp.where(better, plans[first], best.plan), jnp.where(better, scores[first], best.score)
        )
        # Plans of the policy are candidates again anyway.
        own_scores = scores[: scores.shape[0] - self.num_policy_plans]
        reused = plans[jax.lax.top_k(own_scores, elites.shape[0])[1]]
        return (WarmStart(distribution, reused), best), scores

    def _policy_plans(
        self, key: PRNGKeyArray, model: AbstractWorldModel, belief: PyTree
    ) -> Shaped[Array, "plans horizon *action"]:
        if self.num_policy_plans == 0:
            return random_plans(key, self.action_space, 0, self.horizon)
        return jax.vmap(lambda key: rollout.policy_plan(key, model, belief, self.horizon))(
            jax.random.split(key, self.num_policy_plans)
        )

    def _shift(self, key: PRNGKeyArray, warm_start: WarmStart) -> WarmStart:
        """Moves plans one step on for the next decision; their new last step is random."""
        distribution, elites = warm_start
        last_step = random_plans(key, self.action_space, elites.shape[0], 1)
        elites = jnp.concatenate([elites[:, 1:], last_step], axis=1)
        return WarmStart(distribution.shifted(), elites)

    def __check_init__(self):
        check_discount(self.discount)
        check_count(self, "horizon", MAX_HORIZON)
        check_count(self, "population_size")
        if self.num_policy_plans < 0:
            raise ValueError(
                f"planner.num_policy_plans={self.num_policy_plans}: must be at least 0. Try 0, "
                "without plans of the model's policy."
            )


def _summary(all_scores: list[Float[Array, "_ _"]]) -> dict[str, Float[Array, ""]]:
    """Metrics of a decision, from its scores: one array [iterations, candidates] for each loop."""
    last = all_scores[-1][-1]
    every = jnp.concatenate([scores.ravel() for scores in all_scores])
    return {
        "score_best": jnp.max(every),
        "score_mean": jnp.mean(last, where=jnp.isfinite(last)),
        "score_std": jnp.std(last, where=jnp.isfinite(last)),
        "invalid_fraction": jnp.mean(~jnp.isfinite(every)),
    }
