"""Random shooting: the best of its plans by hand, and no state.

Optima are tested in test_sampling.py.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.plans import random_plans
from mbrl.planners.random_shooting import RandomShooting
from mbrl.types import Box, Discrete
from tests.planners.worlds import hill, tree

KEY = jax.random.key(0)
START = jnp.zeros(1)


def planner(action_space=None, **changes) -> RandomShooting:
    settings = {"discount": 1.0, "horizon": 3, "num_policy_plans": 0, "population_size": 6}
    return RandomShooting(
        Discrete(3) if action_space is None else action_space, **(settings | changes)
    )


@eqx.filter_jit
def plan(planner, world, state, key):
    return planner.plan(key, world, START, state)


def sampled_plans(shooter, key) -> np.ndarray:
    """The plans that a decision with this key samples. Its keys: unused, shift, iteration."""
    sample_key, _ = jax.random.split(jax.random.split(key, 3)[2])
    return np.asarray(
        random_plans(sample_key, shooter.action_space, shooter.population_size, shooter.horizon)
    )


def test_it_takes_the_first_action_of_its_best_plan():
    """Six of 27 plans, seldom the best of all."""
    shooter = planner()
    for seed in range(10):
        world, path_return = tree(seed)
        key = jax.random.key(seed)
        action, _, info = plan(shooter, world, shooter.init(KEY), key)
        plans = sampled_plans(shooter, key)
        returns = np.array([path_return(path) for path in plans])
        assert action == plans[np.argmax(returns)][0]
        np.testing.assert_allclose(info["score_best"], returns.max(), rtol=1e-5)
        np.testing.assert_allclose(info["score_mean"], returns.mean(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(info["score_std"], returns.std(), rtol=1e-4)
        assert info["invalid_fraction"] == 0


def test_invalid_scores_are_counted_and_excluded_from_mean_and_std():
    shooter = planner(Box(1), horizon=1, population_size=50)
    action, _, info = plan(shooter, hill([0.4], cliff=0.0), shooter.init(KEY), KEY)
    samples = sampled_plans(shooter, KEY)[:, 0, 0]
    valid = samples[samples <= 0]
    assert action[0] == valid.max()
    assert 0 < valid.size < 50
    np.testing.assert_allclose(info["invalid_fraction"], 1 - valid.size / 50, rtol=1e-5)
    np.testing.assert_allclose(info["score_mean"], np.mean(-((valid - 0.4) ** 2)), rtol=1e-5)
    np.testing.assert_allclose(info["score_std"], np.std(-((valid - 0.4) ** 2)), rtol=1e-5)


def test_its_plans_are_uniform():
    shooter = planner(Box(1))
    samples = np.asarray(shooter.sample(KEY, shooter.initial_distribution(), 4000))
    assert samples.shape == (4000, 3, 1)
    # Standard errors: 0.009 of the mean, 0.005 of the variance. Tolerance: five of them.
    np.testing.assert_allclose(samples.mean(0), 0, atol=0.046)
    np.testing.assert_allclose(samples.var(0), 1 / 3, atol=0.024)


@pytest.mark.parametrize(
    ("shooter", "world"),
    [(planner(), tree(1)[0]), (planner(Box(2)), hill([0.3, -0.6]))],
    ids=["discrete", "box"],
)
def test_its_state_never_changes(shooter, world):
    fresh = shooter.init(KEY)
    _, state, _ = plan(shooter, world, fresh, KEY)
    for left, right in zip(jax.tree.leaves(state), jax.tree.leaves(fresh), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", ["horizon", "population_size"])
def test_invalid_settings_are_rejected(name):
    with pytest.raises(ValueError, match=rf"planner.{name}=0: must be at least 1"):
        planner(**{name: 0})
