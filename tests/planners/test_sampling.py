"""The sampling planners: their loop against a plain Python reference, and optima in closed form."""

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
    hill,
    optimal_plan,
    point_mass,
    reward_table,
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
# The population size is constant, since each size compiles a loop.
OF_ICEM = {"noise_exponent": 1.0, "population_decay": 1.0, "elite_reuse_fraction": 0.3}
EXTRA = {"cem": OF_ELITES, "icem": OF_ELITES | OF_ICEM, "mppi": {}, "random_shooting": {}}

every_sampler = pytest.mark.parametrize("name", SETTINGS)
# Those that converge to the optimum.
every_refitting_sampler = pytest.mark.parametrize("name", ["cem", "icem", "mppi"])


def sampler(
    name: str, action_space: AbstractActionSpace = THREE_ACTIONS, **changes
) -> AbstractSamplingPlanner:
    make, settings = SETTINGS[name]
    common = {"discount": 1.0, "horizon": 3, "num_policy_plans": 0}
    return make(action_space, **(common | settings | EXTRA[name] | changes))


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


class Reference(NamedTuple):
    """A sampling planner's loop in plain Python; only `sample` and `refit` are the planner's."""

    planner: Callable[[AbstractActionSpace], AbstractSamplingPlanner]
    num_plans: list[int]
    num_reused_elites: int = 0
    mode_in_last: bool = False
    acts_on_best: bool = False

    def decide(
        self,
        space: AbstractActionSpace,
        returns: Callable[[np.ndarray], float],
        warm_start: WarmStart,
        key: jax.Array,
    ):
        planner, (distribution, elites) = self.planner(space), warm_start
        _, shift_key, *keys = jax.random.split(key, len(self.num_plans) + 2)
        all_scores, best, best_score = [], None, -np.inf
        for iteration, num_plans in enumerate(self.num_plans):
            sample_key, _ = jax.random.split(keys[iteration])
            plans = [*np.asarray(sample(planner, sample_key, distribution, num_plans)), *elites]
            if self.mode_in_last and iteration == len(self.num_plans) - 1:
                plans.append(np.asarray(distribution.mode()))
            plans = np.stack(plans)
            scores = np.array([returns(executed(space, plan)) for plan in plans])
            order = np.argsort(-scores, kind="stable")
            if scores[order[0]] > best_score:
                best, best_score = plans[order[0]], scores[order[0]]
            distribution = refit(
                planner, distribution, jnp.asarray(plans), jnp.asarray(scores, jnp.float32)
            )
            elites = plans[order[: self.num_reused_elites]]
            all_scores.extend(scores)
        last_step = random_plans(shift_key, space, self.num_reused_elites, 1)
        elites = np.concatenate([elites[:, 1:], last_step], axis=1)
        info = {
            "score_best": np.max(all_scores),
            "score_mean": np.mean(scores),
            "score_std": np.std(scores),
            "invalid_fraction": 0.0,
        }
        plan = executed(space, best if self.acts_on_best else distribution.mode())
        return plan[0], WarmStart(distribution.shifted(), elites), info


def executed(space: AbstractActionSpace, plan: np.ndarray) -> np.ndarray:
    return np.clip(plan, -1, 1) if isinstance(space, Box) else plan


FEW = {"population_size": 10, "num_elites": 3, "num_iterations": 3, "momentum": 0.1}
REFERENCES = {
    "cem": Reference(lambda space: sampler("cem", space, **FEW), [10, 10, 10]),
    "icem": Reference(
        lambda space: sampler(
            "icem", space, **FEW, population_decay=1.25, elite_reuse_fraction=0.6
        ),
        [10, 8, 6],
        2,
        mode_in_last=True,
    ),
    "icem, best sample": Reference(
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
    "mppi": Reference(
        lambda space: sampler("mppi", space, population_size=10, num_iterations=3), [10, 10, 10]
    ),
    "random_shooting": Reference(
        lambda space: sampler("random_shooting", space, population_size=10), [10], acts_on_best=True
    ),
}
MASS_START = np.array([0.8, -0.3])


def mass_return(forces: np.ndarray) -> float:
    """The return of a plan in `point_mass` from MASS_START."""
    state, total = MASS_START, 0.0
    for force in forces[:, 0]:
        total -= state @ STATE_COST @ state + ACTION_COST * force**2
        state = DYNAMICS @ state + CONTROL * force
    return total - state @ FINAL_COST @ state


TABLE = np.random.default_rng(0).normal(size=(3, 2))
TREE, TREE_RETURN = tree(seed=3)
WORLDS = {
    "discrete": (TREE, np.zeros(1), TREE_RETURN),
    "box": (point_mass(), MASS_START, mass_return),
    "multi_discrete": (
        reward_table(TABLE),
        np.zeros(1),
        lambda plan: sum(TABLE[tuple(step)] for step in plan),
    ),
}
REFERENCES_IN_WORLDS = [(name, world) for name in SETTINGS for world in WORLDS] + [
    ("icem, best sample", "box")
]


@pytest.mark.parametrize(("reference", "world"), REFERENCES_IN_WORLDS)
def test_two_consecutive_decisions_match_a_plain_python_reference(reference, world):
    """Candidates of each iteration, reused elites, the mode in the last, and the shift."""
    reference, (world, observation, returns) = REFERENCES[reference], WORLDS[world]
    planner = reference.planner(world.action_space)
    state = warm_start = planner.init(KEY)
    for key in jax.random.split(jax.random.key(1)):
        observation = jnp.asarray(observation, jnp.float32)
        action, state, info = plan(planner, world, observation, state, key)
        expected_action, warm_start, expected_info = reference.decide(
            world.action_space, returns, warm_start, key
        )
        np.testing.assert_allclose(action, expected_action, rtol=1e-4, atol=1e-6)
        for left, right in zip(jax.tree.leaves(state), jax.tree.leaves(warm_start), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)
        for name, value in expected_info.items():
            np.testing.assert_allclose(info[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


TOLERANCE = {"cem": 0.01, "icem": 0.01, "mppi": 0.04}  # the std of MPPI's noise never shrinks


@every_refitting_sampler
def test_it_finds_the_top_of_a_hill(name):
    action, state, info = first_plan(sampler(name, Box(2), horizon=2), hill([0.3, -0.65]))
    np.testing.assert_allclose(action, [0.3, -0.65], atol=TOLERANCE[name])
    np.testing.assert_allclose(state.distribution.mean[0], [0.3, -0.65], atol=TOLERANCE[name])
    assert info["score_best"] > -2 * TOLERANCE[name]


@every_refitting_sampler
def test_it_finds_a_top_at_a_bound(name):
    action, _, _ = first_plan(sampler(name, Box(1), horizon=2), hill([1.5]))
    np.testing.assert_allclose(action, [1.0], atol=TOLERANCE[name])


@every_refitting_sampler
def test_it_finds_the_optimal_control_of_a_point_mass(name):
    """The finite-horizon linear-quadratic regulator, whose actions are within the bounds here."""
    discount = 0.9
    best = optimal_plan(MASS_START, 8, discount)
    assert np.abs(best).max() < 0.9
    planner = sampler(name, Box(1), discount=discount, horizon=8, num_iterations=20)
    action, state, info = first_plan(planner, point_mass(), jnp.asarray(MASS_START, jnp.float32))
    np.testing.assert_allclose(action, best[0], atol=2 * TOLERANCE[name])
    np.testing.assert_allclose(state.distribution.mean[:-1], best[1:], atol=3 * TOLERANCE[name])
    cost, _ = riccati(8, discount)
    np.testing.assert_allclose(
        info["score_best"], -MASS_START @ cost @ MASS_START, atol=TOLERANCE[name] / 10
    )


TREE_CASES = [(name, {}) for name in SETTINGS] + [
    (name, {"return_mode": "best_sample"}) for name in ("cem", "icem")
]


@pytest.mark.parametrize(
    ("name", "changes"),
    TREE_CASES,
    ids=[f"{name}{'-best_sample' if changes else ''}" for name, changes in TREE_CASES],
)
def test_it_finds_the_best_path_of_a_small_tree(name, changes):
    """27 paths, each of which a population of 300 samples many times."""
    for seed in range(10):
        world, path_return = tree(seed, termination=0.2)
        action, _, info = first_plan(sampler(name, **changes, population_size=300), world)
        best = best_path(path_return)
        assert action == best[0]
        np.testing.assert_allclose(info["score_best"], path_return(best), rtol=1e-5)
        assert info["invalid_fraction"] == 0


@every_sampler
def test_it_finds_the_best_combination_of_entries(name):
    """Twelve combinations with random rewards: the reward of an entry depends on the other."""
    for seed in range(10):
        rewards = np.random.default_rng(seed).normal(size=(3, 4))
        action, _, info = first_plan(
            sampler(name, MultiDiscrete((3, 4)), horizon=1), reward_table(rewards)
        )
        np.testing.assert_array_equal(action, np.unravel_index(rewards.argmax(), (3, 4)))
        np.testing.assert_allclose(info["score_best"], rewards.max(), rtol=1e-5)


@every_sampler
@pytest.mark.parametrize(
    "world",
    [
        bandit([NAN, NAN, NAN], pulls=3),
        hill([0.3, -0.65], cliff=-INF),
        reward_table(np.full((3, 2), INF)),
    ],
    ids=["discrete", "box", "multi_discrete"],
)
def test_the_distribution_stays_as_it_is_if_all_predictions_diverge(name, world):
    planner = sampler(name, world.action_space)
    distribution = jax.tree.map(
        lambda leaf: leaf + jnp.linspace(0.0, 0.1, leaf.size).reshape(leaf.shape),
        planner.initial_distribution(),
    )
    warm_start = WarmStart(distribution, planner.init(KEY).elites)
    action, state, info = plan(planner, world, START, warm_start, KEY)
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
def test_it_avoids_rewards_that_diverge(name, offset, bad):
    """Action 1 diverges; of the others, 2 is better."""
    action, _, info = first_plan(sampler(name), bandit([offset, bad, offset + 1], pulls=3))
    assert action == 2
    assert 0 < info["invalid_fraction"] < 1
    assert np.isfinite(info["score_mean"])
    assert np.isfinite(info["score_std"])


@every_sampler
def test_it_avoids_continuations_that_diverge(name):
    """After action 1, which earns the most, predictions diverge."""
    squares = np.arange(1, 4)[:, None]
    world = board(
        np.tile(squares, (1, 3)), np.tile([0.0, 5.0, 1.0], (3, 1)), np.tile([1.0, NAN, 1.0], (3, 1))
    )
    action, _, info = first_plan(sampler(name), world)
    assert action == 2
    assert 0 < info["invalid_fraction"] < 1


@every_refitting_sampler
def test_it_avoids_a_cliff(name):
    """The top is beyond the cliff."""
    action, _, info = first_plan(sampler(name, Box(2), horizon=2), hill([0.3, -0.65], cliff=0.1))
    # MPPI's plan is a mean of samples before the cliff, so its distance depends on the noise's std.
    np.testing.assert_allclose(action, [0.1, -0.65], atol=0.15 if name == "mppi" else 0.02)
    assert action[0] <= 0.1
    assert 0 < info["invalid_fraction"] < 1
