"""The random planner: uniform, whatever the model says."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.planners.random import RandomPlanner
from mbrl.types import Box, Discrete, MultiDiscrete
from tests.planners.worlds import bandit, choices, hill

START = jnp.zeros(1)


@eqx.filter_jit
def act(planner, world, keys):
    return jax.vmap(lambda key: planner.plan(key, world, START, planner.init(key))[0])(keys)


def actions(action_space, world, number):
    return np.asarray(
        act(RandomPlanner(action_space), world, jax.random.split(jax.random.key(0), number))
    )


def test_discrete_actions_are_uniform_and_blind_to_reward():
    counts = np.bincount(actions(Discrete(3), bandit([0.0, 100.0, np.nan]), 3000), minlength=3)
    # Binomial, standard deviation 26: five of them.
    np.testing.assert_allclose(counts, 1000, atol=130)


def test_several_choices_are_uniform_each_by_itself_and_blind_to_reward():
    drawn = actions(
        MultiDiscrete((3, 2)), choices(np.array([[0.0, np.nan], [100.0, 0.0], [0.0, 0.0]])), 3000
    )
    # Binomial, standard deviation 20: five of them.
    np.testing.assert_allclose(
        np.bincount(2 * drawn[:, 0] + drawn[:, 1], minlength=6), 500, atol=102
    )


def test_box_actions_are_uniform_and_blind_to_reward():
    drawn = actions(Box(2), hill([0.4, 0.4], cliff=-np.inf), 3000)
    assert np.abs(drawn).max() <= 1
    # Standard errors 0.0105 of the mean and 0.0054 of the variance: five of them.
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.053)
    np.testing.assert_allclose(drawn.var(0), 1 / 3, atol=0.027)
