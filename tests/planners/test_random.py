"""The random planner: uniform actions that do not depend on the model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.planners.random import RandomPlanner
from mbrl.types import Box, Discrete, MultiDiscrete
from tests.planners.worlds import bandit, hill, reward_table

START = jnp.zeros(1)


@eqx.filter_jit
def act(planner, world, keys):
    return jax.vmap(lambda key: planner.plan(key, world, START, planner.init(key))[0])(keys)


def actions(action_space, world, num_actions):
    keys = jax.random.split(jax.random.key(0), num_actions)
    return np.asarray(act(RandomPlanner(action_space), world, keys))


def test_discrete_actions_are_uniform_and_ignore_rewards():
    counts = np.bincount(actions(Discrete(3), bandit([0.0, 100.0, np.nan]), 3000), minlength=3)
    # Standard deviation of a binomial: 26. Tolerance: five of them.
    np.testing.assert_allclose(counts, 1000, atol=130)


def test_multi_discrete_actions_are_uniform_and_ignore_rewards():
    world = reward_table(np.array([[0.0, np.nan], [100.0, 0.0], [0.0, 0.0]]))
    samples = actions(MultiDiscrete((3, 2)), world, 3000)
    counts = np.bincount(2 * samples[:, 0] + samples[:, 1], minlength=6)
    # Standard deviation of a binomial: 20. Tolerance: five of them.
    np.testing.assert_allclose(counts, 500, atol=102)


def test_box_actions_are_uniform_and_ignore_rewards():
    samples = actions(Box(2), hill([0.4, 0.4], cliff=-np.inf), 3000)
    assert np.abs(samples).max() <= 1
    # Standard errors: 0.0105 of the mean, 0.0054 of the variance. Tolerance: five of them.
    np.testing.assert_allclose(samples.mean(0), 0, atol=0.053)
    np.testing.assert_allclose(samples.var(0), 1 / 3, atol=0.027)
