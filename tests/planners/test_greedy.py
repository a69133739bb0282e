"""Greedy: one step of reward and the value of the next state, by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.greedy import Greedy
from mbrl.types import Box, Discrete, MultiDiscrete
from tests.planners.worlds import bandit, board, hill, reward_table

KEY = jax.random.key(0)
START = jnp.zeros(1)
NAN, INF = np.nan, np.inf


def planner(action_space=None, **changes) -> Greedy:
    settings = {"discount": 0.5, "num_actions": 64}
    return Greedy(Discrete(3) if action_space is None else action_space, **(settings | changes))


@eqx.filter_jit
def plan(greedy, world, key=KEY):
    action, state, info = greedy.plan(key, world, START, greedy.init(key))
    assert state == ()
    return action, info


@pytest.mark.parametrize(
    ("rewards", "values", "continuation", "expected", "score"),
    [
        ([1.0, 0.5, 0.2], [0.0, 0.0, 0.0], 1.0, 0, 1.0),
        ([1.0, 0.5, 0.2], [0.0, 0.0, 2.0], 1.0, 2, 0.2 + 0.5 * 2.0),
        ([1.0, 0.5, 0.2], [0.0, 0.0, 1.5], 1.0, 0, 1.0),  # undiscounted, 1.7 would be more
        ([1.0, 0.5, 0.2], [1.0, 3.0, 3.0], 1.0, 1, 0.5 + 0.5 * 3.0),
        ([1.0, 0.5, 0.2], [0.0, 0.0, 9.0], [1.0, 1.0, 0.0], 0, 1.0),  # 9 is after the end
        ([1.0, 0.5, 0.2], [0.0, 8.0, 9.0], [1.0, 0.5, 0.4], 1, 0.5 + 0.5 * 0.5 * 8.0),
        ([-4.0, -1.0, -2.0], [-1.0, -8.0, -3.0], 1.0, 2, -2.0 - 0.5 * 3.0),
    ],
)
def test_it_maximises_reward_plus_discounted_value(rewards, values, continuation, expected, score):
    world = board([[1, 2, 3]], [rewards], np.broadcast_to(continuation, (1, 3)), [0.0, *values])
    action, info = plan(planner(), world)
    assert action == expected
    np.testing.assert_allclose(info["score_best"], score, rtol=1e-6)
    assert info["invalid_fraction"] == 0


def test_it_looks_one_step_ahead_only():
    """Action 1 leads to a state in which 100 can be earned, but whose value is 0."""
    action, _ = plan(
        planner(),
        board(
            [[1, 2, 3], [4, 4, 4], [4, 4, 4]],
            [[0.1, 0.0, 0.0], [0.0, 0.0, 0.0], [100.0, 100.0, 100.0]],
        ),
    )
    assert action == 0


def test_box_actions_are_the_best_of_candidates_sampled_for_each_decision():
    actions = [
        float(plan(planner(Box(1), num_actions=8), hill([0.4]), key)[0][0])
        for key in jax.random.split(KEY, 20)
    ]
    assert np.abs(actions).max() <= 1
    assert np.unique(actions).size == 20
    # On average, the nearest of 8 uniform candidates is 0.12 from the top, a random one 0.58. The
    # standard error of a mean of 20 is a fifth of it.
    assert np.abs(np.array(actions) - 0.4).mean() < 0.25


def test_many_candidates_come_close_to_the_best_action():
    action, info = plan(planner(Box(1), num_actions=2000), hill([0.4]))
    # The nearest of 2000 is farther with a probability of e^-10.
    np.testing.assert_allclose(action, [0.4], atol=0.005)
    np.testing.assert_allclose(info["score_best"], -((action[0] - 0.4) ** 2), atol=1e-7)


def test_few_combinations_are_all_candidates_and_many_are_sampled():
    rewards = np.random.default_rng(0).normal(size=(8, 8))
    action, info = plan(planner(MultiDiscrete((8, 8)), num_actions=1), reward_table(rewards))
    np.testing.assert_array_equal(action, np.unravel_index(rewards.argmax(), (8, 8)))
    np.testing.assert_allclose(info["score_best"], rewards.max(), rtol=1e-6)
    many = [
        plan(planner(MultiDiscrete((9, 8)), num_actions=1), reward_table(np.zeros((9, 8))), key)[0]
        for key in jax.random.split(KEY, 10)
    ]
    assert len({tuple(np.asarray(action)) for action in many}) > 5


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("offset", [-1000.0, 1000.0])
def test_it_avoids_rewards_that_diverge(bad, offset):
    action, info = plan(planner(), bandit([offset, bad, offset + 1]))
    assert action == 2
    np.testing.assert_allclose(info["invalid_fraction"], 1 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("continuation", "value"), [(1.0, NAN), (NAN, 1.0)], ids=["value", "continuation"]
)
def test_it_avoids_values_and_continuations_that_diverge(continuation, value):
    world = board(
        [[1, 2, 3]], [[0.0, 5.0, 1.0]], [[1.0, continuation, 1.0]], [0.0, 0.0, value, 0.0]
    )
    action, info = plan(planner(), world)
    assert action == 2
    np.testing.assert_allclose(info["invalid_fraction"], 1 / 3, rtol=1e-6)


def test_it_returns_a_valid_action_if_all_predictions_diverge():
    action, info = plan(planner(), bandit([NAN, NAN, NAN]))
    assert 0 <= action <= 2
    assert info["invalid_fraction"] == 1
    assert info["score_best"] == -INF


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_actions": 0}, r"planner.num_actions=0: must be at least 1"),
        ({"discount": 0.0}, r"discount=0.0: must be in \(0, 1\]"),
    ],
)
def test_invalid_settings_are_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        planner(**changes)
