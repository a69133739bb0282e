"""Tree search with either policy, in worlds whose best action is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.mcts import MCTS
from mbrl.types import Box, Discrete, MultiDiscrete
from tests.planners.worlds import bandit, best_path, board, hill, reward_table, tree

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
def test_it_chooses_the_best_arm_of_a_bandit(policy, rewards):
    action, info = plan(planner(policy), bandit(rewards))
    assert action == np.argmax(rewards)
    np.testing.assert_allclose(info["root_value_gap"], max(rewards) - min(rewards), rtol=1e-4)


def test_more_than_16_actions_are_all_considered():
    chosen = [
        plan(planner(action_space=Discrete(20)), bandit(np.eye(20)[best]))[0]
        for best in (0, 15, 16, 19)
    ]
    assert chosen == [0, 15, 16, 19]


@both_policies
def test_with_fewer_simulations_than_actions_every_action_can_be_chosen(policy):
    """Without a sample, the search would try the first ones only, since all have equal priors."""
    search = planner(policy, Discrete(40), num_simulations=10, max_depth=1)
    reward = np.linspace(0.0, 1.0, 40)
    chosen = [int(plan(search, bandit(reward), jax.random.key(seed))[0]) for seed in range(20)]
    assert len(set(chosen)) > 3
    # The best of 8 different actions is at 0.89 on average, that of the first ten at 0.23.
    assert np.mean(reward[chosen]) > 0.7


@both_policies
def test_few_combinations_are_all_considered(policy):
    """16 combinations although `num_actions` is 8; the reward of an entry depends on the other."""
    for seed in range(5):
        rewards = np.random.default_rng(seed).normal(size=(4, 4))
        action, info = plan(
            planner(policy, MultiDiscrete((4, 4)), max_depth=1), reward_table(rewards)
        )
        np.testing.assert_array_equal(action, np.unravel_index(rewards.argmax(), (4, 4)))
        np.testing.assert_allclose(info["root_value_gap"], np.ptp(rewards), rtol=1e-4)


def mean_regret(policy: str, offset: float, termination: float) -> float:
    """The best return minus the best return after the chosen action; mean over 60 trees."""
    regrets = []
    for seed in range(60):
        world, path_return = tree(seed, termination=termination, offset=offset)
        action = int(plan(planner(policy), world)[0])
        regrets.append(
            path_return(best_path(path_return))
            - path_return(best_path(path_return, prefix=(action,)))
        )
    return np.mean(regrets)


@pytest.mark.parametrize("termination", [0.0, 0.3])
@pytest.mark.parametrize("offset", [-3.0, 0.0, 3.0])
@both_policies
def test_it_almost_finds_the_best_path_of_a_small_tree(policy, offset, termination):
    """27 paths, some of which end early. Random actions have a mean regret of 1.2.

    Values are averaged over explored paths, and Gumbel MuZero deepens promising actions early, so
    a small regret remains.
    """
    assert mean_regret(policy, offset, termination) < (0.15 if policy == "gumbel" else 0.1)


def test_the_root_value_is_the_mean_return_of_the_simulations():
    """With one action, each simulation is a step longer than the last, up to max_depth.

    The root's own value is 0. With a reward of 1 a step, a discount of 0.9 and a survival of 0.5,
    a simulation of n steps returns the sum of 0.45^t over t < n.
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
    """Action 0 is cheapest first (2 instead of 3); only action 1 then allows a free second step."""
    costs = [[-2.0, -3.0, -3.0], [-3.0, -3.0, -3.0], [-3.0, -3.0, 0.0], [-3.0, -3.0, -3.0]]
    action, info = plan(planner(policy), board([[1, 2, 3], [4, 4, 4], [4, 4, 4], [4, 4, 4]], costs))
    assert action == 1
    assert info["depth"] == 3


@both_policies
def test_it_takes_the_action_with_the_best_next_value(policy):
    action, info = plan(
        planner(policy), board([[1, 2, 3]], [[0.0, 0.0, 0.0]], values=[0.0, -8.0, 4.0, -2.0])
    )
    assert action == 1
    np.testing.assert_allclose(info["root_value_gap"], 12, rtol=1e-4)


@both_policies
def test_values_are_weighted_by_survival(policy):
    """10 with a probability of 0.1 is less than a certain 5."""
    action, info = plan(
        planner(policy),
        board([[1, 2, 3]], [[0.0, 0.0, 0.0]], [[0.1, 1.0, 1.0]], [0.0, 10.0, 5.0, 0.0]),
    )
    assert action == 1
    np.testing.assert_allclose(info["root_value_gap"], 5, rtol=1e-4)


@both_policies
@pytest.mark.parametrize(("continuation", "expected"), [(1.0, 1), (0.1, 0)])
def test_rewards_after_the_end_are_not_counted(policy, continuation, expected):
    """Action 0 earns 1 and terminates; action 1 earns 0.7 each time until the episode ends."""
    action, _ = plan(
        planner(policy), board([[0, 0, 0]], [[1.0, 0.7, 0.0]], [[0.0, continuation, continuation]])
    )
    assert action == expected


def test_box_actions_are_the_best_of_candidates_sampled_for_each_decision():
    actions = [
        float(plan(planner(action_space=Box(1)), hill([0.4]), key)[0][0])
        for key in jax.random.split(KEY, 20)
    ]
    assert np.abs(actions).max() <= 1
    assert np.unique(actions).size == 20
    # On average, the nearest of 8 uniform candidates is 0.12 from the top, a random one 0.58. The
    # standard error of a mean of 20 is a fifth of it.
    assert np.abs(np.array(actions) - 0.4).mean() < 0.25


def test_it_avoids_the_half_of_a_box_that_diverges():
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
def test_it_avoids_rewards_that_diverge(policy, rewards, bad):
    """Action 1 diverges; of the others, 2 is better."""
    action, info = plan(planner(policy), bandit([rewards[0], bad, rewards[2]], pulls=3))
    assert action == 2
    assert all(np.isfinite(value) for value in info.values())
    assert 0 < info["invalid_fraction"] < 1


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [([0.0, 1.0, 2.0], 0), ([0.0, NAN, 2.0], 1 / 3), ([NAN, 1.0, INF], 2 / 3)],
    ids=str,
)
def test_invalid_fraction_is_the_fraction_of_nodes_that_diverge(rewards, expected):
    """Three simulations try each of the three actions once."""
    _, info = plan(planner(num_simulations=3), bandit(rewards))
    np.testing.assert_allclose(info["invalid_fraction"], expected, rtol=1e-6)


@both_policies
@pytest.mark.parametrize("where", ["value", "continuation"])
def test_it_avoids_values_and_continuations_that_diverge(policy, where):
    values = [0.0, 1.0, NAN if where == "value" else 1.0, 2.0]
    continuations = [[1.0, NAN if where == "continuation" else 1.0, 1.0]]
    action, info = plan(
        planner(policy), board([[1, 2, 3]], [[0.0, 5.0, 0.0]], continuations, values)
    )
    assert action == 2
    assert all(np.isfinite(value) for value in info.values())
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
def test_it_returns_a_valid_action_if_all_predictions_diverge(mcts, world):
    action, info = plan(mcts, world)
    assert np.all((action >= -1) & (action <= 2))
    assert all(np.isfinite(value) for value in info.values())
    assert info["invalid_fraction"] == 1


def test_a_discount_may_be_an_integer():
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
def test_invalid_settings_are_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        planner(**changes)
