"""The sampling planners: their skeleton against a slow twin in plain Python, and optima that are known in closed form."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.cem import CEM
from mbrl.planners.icem import ICEM
from mbrl.planners.mppi import MPPI
from mbrl.planners.plans import random_plans
from mbrl.planners.random_shooting import RandomShooting
from mbrl.planners.sampling import AbstractSamplingPlanner, WarmStart
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete
from tests.planners.worlds import (
    ACTION_COST,
    CONTROL,
    DYNAMICS,
    FINAL_COST,
    STATE_COST,
    bandit,
    best_path,
    board,
    choices,
    hill,
    optimal_plan,
    point_mass,
    riccati,
    tree,
)

KEY = jax.random.key(0)
START = jnp.zeros(1)
THREE_ACTIONS = Discrete(3)
NAN, INF = np.nan, np.inf

SETTINGS = {
    "cem": (
        CEM,
        {
            "population_size": 400,
            "num_elites": 40,
            "num_iterations": 15,
            "momentum": 0.1,
            "initial_std": 0.5,
        },
    ),
    "icem": (
        ICEM,
        {
            "population_size": 400,
            "num_elites": 40,
            "num_iterations": 12,
            "momentum": 0.1,
            "initial_std": 0.5,
        },
    ),
    "mppi": (
        MPPI,
        {
            "population_size": 2000,
            "num_iterations": 15,
            "temperature": 0.1,
            "noise_correlation": 0.5,
            "initial_std": 0.2,
        },
    ),
    "random_shooting": (RandomShooting, {"population_size": 400}),
}
OF_ELITES = {"return_mode": "mode"}
OF_ICEM = {
    "noise_exponent": 1.0,
    "population_decay": 1.0,
    "elite_reuse_fraction": 0.3,
}  # each size is a loop to compile
EXTRA = {"cem": OF_ELITES, "icem": OF_ELITES | OF_ICEM, "mppi": {}, "random_shooting": {}}

every_sampler = pytest.mark.parametrize("name", SETTINGS)
every_learner = pytest.mark.parametrize(
    "name", ["cem", "icem", "mppi"]
)  # those that close in on the optimum


def sampler(
    name: str, action_space: AbstractActionSpace = THREE_ACTIONS, **changes
) -> AbstractSamplingPlanner:
    make, settings = SETTINGS[name]
    return make(
        action_space, **({"discount": 1.0, "horizon": 3} | settings | EXTRA[name] | changes)
    )


@eqx.filter_jit
def plan(planner, world, observation, state, key):
    return planner.plan(key, world, observation, state)


def first_plan(planner, world, observation=START):
    return plan(planner, world, observation, planner.init(KEY), KEY)


@eqx.filter_jit
def sample(planner, key, distribution, num_plans):
    return planner.sample(key, distribution, num_plans)


@eqx.filter_jit
def refit(planner, distribution, plans, scores):
    return planner.refit(distribution, plans, scores)


class Twin(NamedTuple):
    """What tells one sampling planner from the next, by hand."""

    planner: Callable[[AbstractActionSpace], AbstractSamplingPlanner]
    num_plans: list[int]
    num_reused_elites: int = 0
    mode_in_last: bool = False
    acts_on_best: bool = False

    def decide(
        self,
        space: AbstractActionSpace,
        returns: Callable[[np.ndarray], float],
        memory: WarmStart,
        key: jax.Array,
    ):
        planner, (distribution, kept) = self.planner(space), memory
        _, shift_key, *keys = jax.random.split(key, len(self.num_plans) + 2)
        every, best, best_score = [], None, -np.inf
        for iteration, num_plans in enumerate(self.num_plans):
            sample_key, _ = jax.random.split(keys[iteration])
            plans = [*np.asarray(sample(planner, sample_key, distribution, num_plans)), *kept]
            if self.mode_in_last and iteration == len(self.num_plans) - 1:
                plans.append(np.asarray(distribution.mode()))
            plans, scores = (
                np.stack(plans),
                np.array([returns(acted_on(space, plan)) for plan in plans]),
            )
            order = np.argsort(-scores, kind="stable")
            if scores[order[0]] > best_score:
                best, best_score = plans[order[0]], scores[order[0]]
            distribution = refit(
                planner, distribution, jnp.asarray(plans), jnp.asarray(scores, jnp.float32)
            )
            kept = plans[order[: self.num_reused_elites]]
            every.extend(scores)
        last = random_plans(shift_key, space, self.num_reused_elites, 1)
        later = WarmStart(distribution.shifted(), np.concatenate([kept[:, 1:], last], axis=1))
        info = {
            "score_best": np.max(every),
            "score_mean": np.mean(scores),
            "score_std": np.std(scores),
            "invalid_fraction": 0.0,
        }
        return acted_on(space, best if self.acts_on_best else distribution.mode())[0], later, info


def acted_on(space: AbstractActionSpace, plan: np.ndarray) -> np.ndarray:
    return np.clip(plan, -1, 1) if isinstance(space, Box) else plan


FEW = {"population_size": 10, "num_elites": 3, "num_iterations": 3, "momentum": 0.1}
TWINS = {
    "cem": Twin(lambda space: sampler("cem", space, **FEW), [10, 10, 10]),
    "icem": Twin(
        lambda space: sampler(
            "icem", space, **FEW, population_decay=1.25, elite_reuse_fraction=0.6
        ),
        [10, 8, 6],
        2,
        mode_in_last=True,
    ),
    "icem, best sample": Twin(
        lambda space: sampler(
            "icem",
            space,
            **FEW,
            population_decay=2.0,
            elite_reuse_fraction=1.0,
            return_mode="best_sample",
        ),
        [10, 6, 6],
        3,
        mode_in_last=True,
        acts_on_best=True,
    ),
    "mppi": Twin(
        lambda space: sampler("mppi", space, population_size=10, num_iterations=3), [10, 10, 10]
    ),
    "random_shooting": Twin(
        lambda space: sampler("random_shooting", space, population_size=10), [10], acts_on_best=True
    ),
}
PUSHED_FROM = np.array([0.8, -0.3])


def pushed_return(forces: np.ndarray) -> float:
    """What the actions earn in `point_mass`, from PUSHED_FROM."""
    state, total = PUSHED_FROM, 0.0
    for force in forces[:, 0]:
        total -= state @ STATE_COST @ state + ACTION_COST * force**2
        state = DYNAMICS @ state + CONTROL * force
    return total - state @ FINAL_COST @ state


TABLE = np.random.default_rng(0).normal(size=(3, 2))
OF_A_TREE, RETURN_IN_TREE = tree(seed=3)
WORLDS = {
    "discrete": (OF_A_TREE, np.zeros(1), RETURN_IN_TREE),
    "box": (point_mass(), PUSHED_FROM, pushed_return),
    "multi_discrete": (
        choices(TABLE),
        np.zeros(1),
        lambda plan: sum(TABLE[tuple(step)] for step in plan),
    ),
}
TWINS_IN_WORLDS = [(twin, world) for twin in SETTINGS for world in WORLDS] + [
    ("icem, best sample", "box")
]


@pytest.mark.parametrize(("twin", "world"), TWINS_IN_WORLDS)
def test_two_decisions_in_a_row_are_those_of_a_slow_twin(twin, world):
    """Every iteration's candidates, which of them are kept, the mode among the last, and what is left a step later."""
    twin, (world, observation, returns) = TWINS[twin], WORLDS[world]
    planner = twin.planner(world.action_space)
    state = memory = planner.init(KEY)
    for key in jax.random.split(jax.random.key(1)):
        action, state, info = plan(
            planner, world, jnp.asarray(observation, jnp.float32), state, key
        )
        expected_action, memory, expected_info = twin.decide(
            world.action_space, returns, memory, key
        )
        np.testing.assert_allclose(action, expected_action, rtol=1e-4, atol=1e-6)
        for left, right in zip(jax.tree.leaves(state), jax.tree.leaves(memory), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)
        for name, value in expected_info.items():
            np.testing.assert_allclose(info[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


NEAR = {"cem": 0.01, "icem": 0.01, "mppi": 0.04}  # mppi's noise never narrows


@every_learner
def test_it_finds_the_top_of_a_hill(name):
    action, state, info = first_plan(sampler(name, Box(2), horizon=2), hill([0.3, -0.65]))
    np.testing.assert_allclose(action, [0.3, -0.65], atol=NEAR[name])
    np.testing.assert_allclose(state.distribution.mean[0], [0.3, -0.65], atol=NEAR[name])
    assert info["score_best"] > -2 * NEAR[name]


@every_learner
def test_it_finds_a_top_at_the_bound(name):
    action, _, _ = first_plan(sampler(name, Box(1), horizon=2), hill([1.5]))
    np.testing.assert_allclose(action, [1.0], atol=NEAR[name])


@every_learner
def test_it_finds_the_optimal_control_of_a_point_mass(name):
    """The finite-horizon linear-quadratic regulator, whose actions stay within the bounds."""
    discount = 0.9
    best = optimal_plan(PUSHED_FROM, 8, discount)
    assert np.abs(best).max() < 0.9
    planner = sampler(name, Box(1), discount=discount, horizon=8, num_iterations=20)
    action, state, info = first_plan(planner, point_mass(), jnp.asarray(PUSHED_FROM, jnp.float32))
    np.testing.assert_allclose(action, best[0], atol=2 * NEAR[name])
    np.testing.assert_allclose(state.distribution.mean[:-1], best[1:], atol=3 * NEAR[name])
    cost, _ = riccati(8, discount)
    np.testing.assert_allclose(
        info["score_best"], -PUSHED_FROM @ cost @ PUSHED_FROM, atol=NEAR[name] / 10
    )


OF_TREES = [(name, {}) for name in SETTINGS] + [
    (name, {"return_mode": "best_sample"}) for name in ("cem", "icem")
]


@pytest.mark.parametrize(
    ("name", "changes"),
    OF_TREES,
    ids=[f"{name}{'-best_sample' if changes else ''}" for name, changes in OF_TREES],
)
def test_it_finds_the_best_path_of_a_small_tree(name, changes):
    """27 paths, which a population of 300 sees many times over."""
    for seed in range(10):
        world, path_return = tree(seed, ending=0.2)
        action, _, info = first_plan(sampler(name, **changes, population_size=300), world)
        best = best_path(path_return)
        assert action == best[0]
        np.testing.assert_allclose(info["score_best"], path_return(best), rtol=1e-5)
        assert info["invalid_fraction"] == 0


@every_sampler
def test_it_finds_the_best_pair_of_choices(name):
    """Twelve pairs that earn something random each: what an entry is worth depends on the other one."""
    for seed in range(10):
        rewards = np.random.default_rng(seed).normal(size=(3, 4))
        action, _, info = first_plan(
            sampler(name, MultiDiscrete((3, 4)), horizon=1), choices(rewards)
        )
        np.testing.assert_array_equal(action, np.unravel_index(rewards.argmax(), (3, 4)))
        np.testing.assert_allclose(info["score_best"], rewards.max(), rtol=1e-5)


@every_sampler
@pytest.mark.parametrize(
    "world",
    [
        bandit([NAN, NAN, NAN], pulls=3),
        hill([0.3, -0.65], cliff=-INF),
        choices(np.full((3, 2), INF)),
    ],
    ids=["discrete", "box", "multi_discrete"],
)
def test_nothing_is_learned_from_predictions_that_all_diverge(name, world):
    planner = sampler(name, world.action_space)
    distribution = jax.tree.map(
        lambda leaf: leaf + jnp.linspace(0.0, 0.1, leaf.size).reshape(leaf.shape),
        planner.initial_distribution(),
    )
    kept = planner.init(KEY).elites
    action, state, info = plan(planner, world, START, WarmStart(distribution, kept), KEY)
    np.testing.assert_array_equal(action, distribution.mode()[0])
    for left, expected in zip(
        jax.tree.leaves(state.distribution), jax.tree.leaves(distribution.shifted()), strict=True
    ):
        np.testing.assert_array_equal(left, expected)
    assert np.all(np.isfinite(state.elites))
    assert info["invalid_fraction"] == 1
    assert info["score_best"] == -INF


@every_sampler
@pytest.mark.parametrize("offset", [-1000.0, 0.0, 1000.0])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_it_keeps_away_from_predictions_that_diverge(name, offset, bad):
    """Action 1 diverges; of the others, 2 is better."""
    action, _, info = first_plan(sampler(name), bandit([offset, bad, offset + 1], pulls=3))
    assert action == 2
    assert 0 < info["invalid_fraction"] < 1
    assert np.isfinite(info["score_mean"])
    assert np.isfinite(info["score_std"])


@every_sampler
def test_it_keeps_away_from_continuations_that_diverge(name):
    """What follows action 1 nobody knows, however much it earns."""
    places = np.arange(1, 4)[:, None]
    world = board(
        np.tile(places, (1, 3)), np.tile([0.0, 5.0, 1.0], (3, 1)), np.tile([1.0, NAN, 1.0], (3, 1))
    )
    action, _, info = first_plan(sampler(name), world)
    assert action == 2
    assert 0 < info["invalid_fraction"] < 1


@every_learner
def test_it_keeps_away_from_a_cliff(name):
    """The top lies beyond it."""
    action, _, info = first_plan(sampler(name, Box(2), horizon=2), hill([0.3, -0.65], cliff=0.1))
    # MPPI's plan stays as far from the cliff as its noise is wide, since it is a mean of what lies before it.
    np.testing.assert_allclose(action, [0.1, -0.65], atol=0.15 if name == "mppi" else 0.02)
    assert action[0] <= 0.1
    assert 0 < info["invalid_fraction"] < 1
