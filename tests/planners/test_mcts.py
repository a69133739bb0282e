"""Tree search, by either policy, where the best action is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.mcts import MCTS
from mbrl.types import Box, Discrete, MultiDiscrete
from tests.planners.worlds import bandit, best_path, board, choices, hill, tree

KEY = jax.random.key(0)
START = jnp.zeros(1)
THREE_ACTIONS = Discrete(3)
NAN, INF = np.nan, np.inf

both_policies = pytest.mark.parametrize("policy", ["gumbel", "muzero"])


def planner(policy="gumbel", action_space=THREE_ACTIONS, **changes) -> MCTS:
    settings = {"discount": 1.0, "num_simulations": 400, "max_depth": 3, "num_actions": 8}
    return MCTS(action_space, **(settings | changes), policy=policy)


def plan(planner, world, key=KEY):
    return compiled_plan(planner, world, key)


@eqx.filter_jit
def compiled_plan(planner, world, key):
    action, _, info = planner.plan(key, world, START, planner.init(key))
    return action, info


@both_policies
@pytest.mark.parametrize(
    "rewards", [[0.1, 0.9, 0.3], [-3.0, -5.0, -4.0], [5.0, 7.0, 9.0], [1e4, 0.0, -1e4]], ids=str
)
def test_it_pulls_the_best_arm(policy, rewards):
    action, info = plan(planner(policy), bandit(rewards))
    assert action == np.argmax(rewards)
    np.testing.assert_allclose(info["root_value_gap"], max(rewards) - min(rewards), rtol=1e-4)


def test_every_action_is_considered_however_many_there_are():
    chosen = [
        plan(planner(action_space=Discrete(20)), bandit(np.eye(20)[best]))[0]
        for best in (0, 15, 16, 19)
    ]
    assert chosen == [0, 15, 16, 19]


@both_policies
def test_few_pairs_of_choices_are_all_considered(policy):
    """Sixteen pairs, though `num_actions` is 8; what an entry is worth depends on the other one."""
    for seed in range(5):
        rewards = np.random.default_rng(seed).normal(size=(4, 4))
        action, info = plan(planner(policy, MultiDiscrete((4, 4)), max_depth=1), choices(rewards))
        np.testing.assert_array_equal(action, np.unravel_index(rewards.argmax(), (4, 4)))
        np.testing.assert_allclose(info["root_value_gap"], np.ptp(rewards), rtol=1e-4)


def mean_regret(policy: str, offset: float, ending: float) -> float:
    """How much less than the best path the best path through the chosen action is worth, on average over 60 trees."""
    regrets = []
    for seed in range(60):
        world, path_return = tree(seed, ending=ending, offset=offset)
        action = int(plan(planner(policy), world)[0])
        regrets.append(
            path_return(best_path(path_return))
            - path_return(best_path(path_return, beginning=(action,)))
        )
    return np.mean(regrets)


@pytest.mark.parametrize("ending", [0.0, 0.3])
@pytest.mark.parametrize("offset", [-3.0, 0.0, 3.0])
@both_policies
def test_it_finds_what_exhaustive_search_finds(policy, offset, ending):
    """27 paths, which end early where the episode ends. Search averages where it explores, and Gumbel's digs for what looks good first:
    now and then it misses by a little.

    A blind choice would cost 1.2 on average.
    """
    assert mean_regret(policy, offset, ending) < (0.15 if policy == "gumbel" else 0.1)


def test_the_root_value_is_the_mean_of_what_each_simulation_returns():
    """With one action a simulation goes one step deeper than the last, up to max_depth; the root's own value is 0.

    A reward of 1 a step, discounted by 0.9 and survived by 0.5: a simulation of n steps returns the sum of 0.45^t below n.
    """
    world = board(moves=[[0]], rewards=[[1.0]], continuation=[[0.5]])
    _, info = plan(
        planner(action_space=Discrete(1), discount=0.9, num_simulations=6, max_depth=4), world
    )
    returns = [0.0, *(sum(0.45**t for t in range(depth)) for depth in (1, 2, 3, 4, 4, 4))]
    np.testing.assert_allclose(info["root_value"], np.mean(returns), rtol=1e-5)
    assert info["depth"] == 4
    assert info["root_value_gap"] == 0


@both_policies
def test_it_looks_beyond_the_first_step(policy):
    """The first step costs 2 for action 0, else 3; the second one 3, but nothing for action 2 after action 1; the third nothing."""
    costs = [[-2.0, -3.0, -3.0], [-3.0, -3.0, -3.0], [-3.0, -3.0, 0.0], [-3.0, -3.0, -3.0]]
    action, info = plan(planner(policy), board([[1, 2, 3], [4, 4, 4], [4, 4, 4], [4, 4, 4]], costs))
    assert action == 1
    assert info["depth"] == 3


@both_policies
def test_it_goes_where_the_value_is(policy):
    action, info = plan(
        planner(policy), board([[1, 2, 3]], [[0.0, 0.0, 0.0]], values=[0.0, -8.0, 4.0, -2.0])
    )
    assert action == 1
    np.testing.assert_allclose(info["root_value_gap"], 12, rtol=1e-4)


@both_policies
def test_a_value_counts_as_far_as_it_is_reached(policy):
    """10 with a chance of 0.1 is less than 5 for certain."""
    action, info = plan(
        planner(policy),
        board([[1, 2, 3]], [[0.0, 0.0, 0.0]], [[0.1, 1.0, 1.0]], [0.0, 10.0, 5.0, 0.0]),
    )
    assert action == 1
    np.testing.assert_allclose(info["root_value_gap"], 5, rtol=1e-4)


@both_policies
@pytest.mark.parametrize(("chance", "expected"), [(1.0, 1), (0.1, 0)])
def test_what_comes_after_the_end_is_not_counted(policy, chance, expected):
    """Action 0 earns 1 and ends the episode; action 1 earns 0.7, and may be taken again if the episode goes on."""
    action, _ = plan(
        planner(policy), board([[0, 0, 0]], [[1.0, 0.7, 0.0]], [[0.0, chance, chance]])
    )
    assert action == expected


def test_box_actions_are_the_best_of_candidates_that_are_drawn_anew():
    actions = [
        float(plan(planner(action_space=Box(1)), hill([0.4]), key)[0][0])
        for key in jax.random.split(KEY, 20)
    ]
    assert np.abs(actions).max() <= 1
    assert np.unique(actions).size == 20
    # The nearest of 8 uniform candidates is 0.12 from the top on average, a random one 0.58; 20 of either vary by a fifth of it.
    assert np.abs(np.array(actions) - 0.4).mean() < 0.25


def test_half_a_box_may_diverge():
    actions = [
        float(plan(planner(action_space=Box(1)), hill([0.4], cliff=0.0), key)[0][0])
        for key in jax.random.split(KEY, 5)
    ]
    assert max(actions) <= 0


@both_policies
@pytest.mark.parametrize(
    "rewards", [[1.0, 9.0, 2.0], [-2.0, 9.0, -1.0], [-60.0, 9.0, -50.0]], ids=str
)
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_it_keeps_away_from_predictions_that_diverge(policy, rewards, bad):
    """Action 1 diverges; of the others, 2 is better. How bad a reward can be, the model's normaliser has seen."""
    world = bandit([rewards[0], bad, rewards[2]], pulls=3)
    world = eqx.tree_at(lambda w: w.normaliser.reward_min, world, jnp.float32(min(rewards)))
    action, info = plan(planner(policy), world)
    assert action == 2
    assert all(np.isfinite(number) for number in info.values())
    assert 0 < info["invalid_fraction"] < 1


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [([0.0, 1.0, 2.0], 0), ([0.0, NAN, 2.0], 1 / 3), ([NAN, 1.0, INF], 2 / 3)],
    ids=str,
)
def test_the_invalid_are_the_share_of_nodes_whose_predictions_diverge(rewards, expected):
    """Three simulations try each of three actions once."""
    _, info = plan(planner(num_simulations=3), bandit(rewards))
    np.testing.assert_allclose(info["invalid_fraction"], expected, rtol=1e-6)


@both_policies
@pytest.mark.parametrize("where", ["value", "continuation"])
def test_it_keeps_away_from_values_and_continuations_that_diverge(policy, where):
    values = [0.0, 1.0, NAN if where == "value" else 1.0, 2.0]
    chances = [[1.0, NAN if where == "continuation" else 1.0, 1.0]]
    action, info = plan(planner(policy), board([[1, 2, 3]], [[0.0, 5.0, 0.0]], chances, values))
    assert action == 2
    assert all(np.isfinite(number) for number in info.values())
    assert info["invalid_fraction"] > 0


@pytest.mark.parametrize(
    ("mcts", "world"),
    [
        (planner("gumbel"), bandit([NAN, NAN, NAN], pulls=3)),
        (planner("muzero"), bandit([NAN, NAN, NAN], pulls=3)),
        (planner("gumbel", Box(1)), hill([0.4], cliff=-INF)),
    ],
    ids=["gumbel", "muzero", "box"],
)
def test_it_survives_predictions_that_all_diverge(mcts, world):
    action, info = plan(mcts, world)
    assert np.all((action >= -1) & (action <= 2))
    assert all(np.isfinite(number) for number in info.values())
    assert info["invalid_fraction"] == 1


def test_a_discount_may_be_a_whole_number():
    mcts = planner(discount=1)
    jax.eval_shape(lambda: mcts.plan(KEY, bandit([0.0, 0.0, 1.0]), START, mcts.init(KEY)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_simulations": 0}, r"planner.num_simulations=0: must be at least 1"),
        ({"max_depth": 0}, r"planner.max_depth=0: must be at least 1"),
        ({"num_actions": -1}, r"planner.num_actions=-1: must be at least 1"),
        ({"policy": "alpha"}, r"planner.policy=alpha: must be 'gumbel' or 'muzero'"),
        ({"discount": 0.0}, r"discount=0.0: must be in \(0, 1\]"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        planner(**changes)
