"""How planners use the policy of a model."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.config.build import build
from mbrl.models.policy import Categorical, SquashedGaussian
from mbrl.planners.mcts import MCTS
from mbrl.planners.policy import PolicyPlanner
from mbrl.planners.sampling import AbstractSamplingPlanner
from mbrl.types import Discrete
from tests.configs import options, resolved_small
from tests.planners.worlds import World, bandit, board, hill

KEY = jax.random.key(0)
START = jnp.zeros(1)


@eqx.filter_jit
def plan(planner, world, key=KEY):
    return planner.plan(key, world, START, planner.init(key))


def preferring(world: World, action: int, logit: float = 4.0) -> World:
    """The world with a policy that mostly takes one action."""
    logits = logit * jax.nn.one_hot(action, world.action_space.num_features)
    return replace(world, learned_policy=Categorical(world.action_space, logits))


@pytest.mark.parametrize("use_mode", [False, True])
def test_the_policy_planner_acts_by_the_policy(use_mode):
    world = preferring(bandit([0.0, 0.0, 0.0]), 1, 1.0)
    planner = PolicyPlanner(world.action_space, use_mode)
    keys = jax.random.split(KEY, 2000)
    actions = jax.vmap(lambda key: planner.plan(key, world, START, ()).action)(keys)
    # Standard error of the fraction: 0.011.
    expected = 1.0 if use_mode else np.exp(1) / (np.exp(1) + 2)
    assert abs(np.mean(np.asarray(actions) == 1) - expected) < 0.055


def search(policy: str, num_actions: int, **changes) -> MCTS:
    settings = {"num_simulations": 32, "max_depth": 3, "num_actions": 8}
    return MCTS(Discrete(num_actions), 1.0, **(settings | changes), policy=policy)


@pytest.mark.parametrize("policy", ["gumbel", "muzero"])
@pytest.mark.parametrize("favourite", [0, 2])
def test_tree_search_prefers_what_the_policy_prefers_among_equal_actions(policy, favourite):
    world = preferring(bandit([1.0, 1.0, 1.0]), favourite)
    assert plan(search(policy, 3), world).action == favourite


@pytest.mark.parametrize("policy", ["gumbel", "muzero"])
def test_tree_search_overrules_a_policy_that_is_wrong(policy):
    assert plan(search(policy, 3), preferring(bandit([0.0, 1.0, 0.0]), 0, 2.0)).action == 1


@pytest.mark.parametrize("policy", ["gumbel", "muzero"])
def test_tree_search_samples_its_candidates_from_the_policy(policy):
    """Of 1000 actions, the good one is among 8 uniform samples once in 125 searches."""
    world = preferring(bandit(np.eye(1000)[77]), 77, 10.0)
    keys = jax.random.split(KEY, 10)
    planner = search(policy, 1000)
    actions = [int(plan(planner, world, key).action) for key in keys]
    assert actions == [77] * 10


@pytest.mark.parametrize("policy", ["gumbel", "muzero"])
def test_a_policy_that_has_diverged_does_not_break_the_search(policy):
    world = preferring(bandit([0.0, 1.0, 0.0]), 0, np.nan)
    decision = plan(search(policy, 3), world)
    assert decision.action == 1
    assert all(np.isfinite(value) for value in decision.info.values())


def is_sampling(name: str) -> bool:
    node = resolved_small(f"planner={name}").tree.planner
    return isinstance(build(node, action_space=Discrete(2)), AbstractSamplingPlanner)


SAMPLING = list(filter(is_sampling, options("planner")))


def sampling_planner(name: str, world: World, **changes) -> AbstractSamplingPlanner:
    overrides = [f"planner.{key}={value}" for key, value in changes.items()]
    config = resolved_small(f"planner={name}", *overrides)
    return build(config.tree.planner, action_space=world.action_space)


def corridor() -> World:
    """A step right from each square but the last leads to the next one, any other to the start."""
    squares = np.arange(4)
    moves = np.zeros((4, 8), int)
    moves[:, 5] = squares + 1
    return board(moves, np.zeros((4, 8)), 1.0, np.eye(5)[4])


@pytest.mark.parametrize("name", SAMPLING)
def test_plans_of_the_policy_are_candidates_of_sampling_planners(name):
    """Four times the same of eight actions, which no sample finds, but the policy knows."""
    world = preferring(corridor(), 5, 20.0)
    for num_policy_plans, best in ((0, 0.0), (2, 1.0)):
        planner = sampling_planner(name, world, num_policy_plans=num_policy_plans)
        decision = plan(planner, world)
        np.testing.assert_allclose(decision.info["score_best"], best, atol=0.02)
    assert decision.action == 5


@pytest.mark.parametrize("name", SAMPLING)
def test_a_policy_that_has_diverged_does_not_break_sampling_planners(name):
    world = replace(hill([0.4]), learned_policy=SquashedGaussian(jnp.full(1, np.nan), jnp.ones(1)))
    decision = plan(sampling_planner(name, world, num_policy_plans=2), world)
    assert np.isfinite(decision.action)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(decision.state))


def test_plans_of_the_policy_are_not_reused_as_elites():
    """They are candidates of each iteration anyway, and would crowd out the others."""
    world = preferring(corridor(), 5, 20.0)
    planner = sampling_planner("icem", world, num_policy_plans=2, num_iterations=1)
    elites = np.asarray(plan(planner, world).state.elites)
    assert len(elites) > 0
    assert not np.any(np.all(elites[:, :3] == 5, axis=1))


@pytest.mark.parametrize("name", SAMPLING)
def test_policy_plans_work_for_box_actions(name):
    world = hill([0.9, -0.9])
    policy = SquashedGaussian(jnp.arctanh(jnp.array([0.9, -0.9])), jnp.full(2, 1e-3))
    world = replace(world, learned_policy=policy)
    planner = sampling_planner(name, world, num_policy_plans=2, population_size=16)
    assert plan(planner, world).info["score_best"] > -1e-3


def test_a_negative_number_of_policy_plans_is_refused():
    with pytest.raises(ValueError, match=r"planner.num_policy_plans=-1: must be at least 0. Try 0"):
        sampling_planner("cem", bandit([0.0, 1.0]), num_policy_plans=-1)
