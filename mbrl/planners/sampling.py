"""The skeleton of the sampling planners: draw plans, score them in the model, fit the distribution to the good ones.

A planner differs from the next in two verbs, `sample` and `refit`, in its schedule, and in the plan that it acts on.
"""

from abc import abstractmethod
from functools import partial
from itertools import groupby
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from mbrl.models import rollout
from mbrl.planners.base import AbstractPlanner, check_count, check_discount
from mbrl.planners.plans import AbstractPlanDistribution, random_plans
from mbrl.types import AbstractActionSpace

MAX_HORIZON = 10_000  # steps
MAX_ITERATIONS = 1000


class Schedule(NamedTuple):
    """What the iterations of a decision score."""

    num_plans: tuple[int, ...]  # drawn anew in each iteration
    num_kept: int = 0  # best plans that stand again in the next iteration and, a step later, in the next decision
    mode_in_last: bool = (
        False  # whether the distribution's own mode stands among the last iteration's plans
    )


class WarmStart(NamedTuple):
    """What a sampling planner carries from one decision to the next."""

    distribution: AbstractPlanDistribution
    elites: Shaped[Array, "kept horizon *action"]


class Best(NamedTuple):
    """The best plan of a decision so far."""

    plan: Shaped[Array, "horizon *action"]
    score: Float[Array, ""]


class AbstractSamplingPlanner(AbstractPlanner):
    """A planner whose state is a distribution over plans, and the best plans of the last decision."""

    METRICS: ClassVar[dict[str, str]] = {
        "score_best": "Best imagined return of the decision's candidates, in units of reward; mean over the episode's decisions.",
        "score_mean": "Mean imagined return of the last iteration's candidates, those that are no finite number left out; same mean.",
        "score_std": "Standard deviation of the same returns: how much the choice seems to matter; same mean.",
        "invalid_fraction": "Share of candidates whose imagined return was not a finite number; same mean.",
    }

    action_space: AbstractActionSpace
    discount: float = eqx.field(static=True)
    horizon: int = eqx.field(static=True)  # steps
    population_size: int = eqx.field(static=True)  # plans an iteration

    @abstractmethod
    def schedule(self) -> Schedule:
        """How many plans each iteration scores; a property of the settings alone."""

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
        """The distribution after the candidates' scores are known; those that are no finite number are -inf."""

    @abstractmethod
    def select_plan(
        self, distribution: AbstractPlanDistribution, best_sample: Shaped[Array, "horizon *action"]
    ) -> Shaped[Array, "horizon *action"]:
        """The plan to act on, given the last distribution and the best plan that was scored."""

    def init(self, key):
        return WarmStart(
            self.initial_distribution(),
            random_plans(key, self.action_space, self.schedule().num_kept, self.horizon),
        )

    def plan(self, key, model, observation, state):
        num_plans, num_kept, mode_in_last = self.schedule()
        encode_key, shift_key, *keys = jax.random.split(key, len(num_plans) + 2)
        start = rollout.start(encode_key, model, observation)

        def iterate(
            carry: tuple[WarmStart, Best], key: PRNGKeyArray, num_plans: int, with_mode: bool
        ):
            (distribution, kept), best = carry
            sample_key, score_key = jax.random.split(key)
            drawn = [self.sample(sample_key, distribution, num_plans), kept]
            plans = jnp.concatenate([*drawn, distribution.mode()[None]] if with_mode else drawn)
            # One key for all: candidates are compared under the same luck of the model.
            actions = distribution.actions(plans)
            scores = jax.vmap(
                lambda actions: rollout.plan_return(score_key, model, start, actions, self.discount)
            )(actions)
            # With no finite score there is nothing to learn from, and the distribution stays as it was.
            usable = jnp.any(jnp.isfinite(scores))
            refitted = self.refit(distribution, plans, scores)
            distribution = jax.tree.map(
                lambda new, old: jnp.where(usable, new, old), refitted, distribution
            )
            # top_k prefers the first of equals, as argmax does.
            places = jax.lax.top_k(scores, max(1, num_kept))[1]
            first, score = plans[places[0]], scores[places[0]]
            better = score > best.score
            best = Best(jnp.where(better, first, best.plan), jnp.where(better, score, best.score))
            return (WarmStart(distribution, plans[places[:num_kept]]), best), scores

        carry, all_scores = (state, Best(state.distribution.mode(), jnp.array(-jnp.inf))), []
        in_last = [mode_in_last and i == len(num_plans) - 1 for i in range(len(num_plans))]
        for sizes, group in groupby(
            zip(num_plans, in_last, strict=True)
        ):  # equal iterations are one compiled loop
            group_keys = jnp.stack([keys.pop(0) for _ in group])
            carry, scores = jax.lax.scan(
                partial(iterate, num_plans=sizes[0], with_mode=sizes[1]), carry, group_keys
            )
            all_scores.append(scores)
        memory, best = carry
        plan = memory.distribution.actions(self.select_plan(memory.distribution, best.plan))
        return plan[0], self._shift(shift_key, memory), _summary(all_scores)

    def _shift(self, key: PRNGKeyArray, memory: WarmStart) -> WarmStart:
        last = random_plans(key, self.action_space, memory.elites.shape[0], 1)
        return WarmStart(
            memory.distribution.shifted(), jnp.concatenate([memory.elites[:, 1:], last], axis=1)
        )

    def __check_init__(self):
        check_discount(self.discount)
        check_count(self, "horizon", MAX_HORIZON)
        check_count(self, "population_size")


def _summary(all_scores: list[Float[Array, "_ _"]]) -> dict[str, Float[Array, ""]]:
    """Of all iterations' scores, grouped by their population sizes."""
    last = all_scores[-1][-1]
    every = jnp.concatenate([scores.ravel() for scores in all_scores])
    return {
        "score_best": jnp.max(every),
        "score_mean": jnp.mean(last, where=jnp.isfinite(last)),
        "score_std": jnp.std(last, where=jnp.isfinite(last)),
        "invalid_fraction": jnp.mean(~jnp.isfinite(every)),
    }
