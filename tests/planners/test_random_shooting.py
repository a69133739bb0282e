"""Random shooting: the best of its plans by hand, and nothing remembered. What it finds is in test_sampling.py."""

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
    settings = {"discount": 1.0, "horizon": 3, "population_size": 6}
    return RandomShooting(
        Discrete(3) if action_space is None else action_space, **(settings | changes)
    )


@eqx.filter_jit
def plan(planner, world, state, key):
    return planner.plan(key, world, START, state)


def drawn_plans(shooter, key) -> np.ndarray:
    """What the decision with this key draws: the encoding and the memory have a key each, and the only iteration the third."""
    sample_key, _ = jax.random.split(jax.random.split(key, 3)[2])
    return np.asarray(
        random_plans(sample_key, shooter.action_space, shooter.population_size, shooter.horizon)
    )


def test_it_takes_the_first_step_of_the_best_of_its_plans():
    """Six of 27: seldom the best there is."""
    shooter = planner()
    for seed in range(10):
        world, path_return = tree(seed)
        key = jax.random.key(seed)
        action, _, info = plan(shooter, world, shooter.init(KEY), key)
        plans = drawn_plans(shooter, key)
        returns = np.array([path_return(path) for path in plans])
        assert action == plans[np.argmax(returns)][0]
        np.testing.assert_allclose(info["score_best"], returns.max(), rtol=1e-5)
        np.testing.assert_allclose(info["score_mean"], returns.mean(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(info["score_std"], returns.std(), rtol=1e-4)
        assert info["invalid_fraction"] == 0


def test_the_invalid_are_counted_and_left_out_of_the_mean():
    shooter = planner(Box(1), horizon=1, population_size=50)
    action, _, info = plan(shooter, hill([0.4], cliff=0.0), shooter.init(KEY), KEY)
    drawn = drawn_plans(shooter, KEY)[:, 0, 0]
    valid = drawn[drawn <= 0]
    assert action[0] == valid.max()
    assert 0 < valid.size < 50
    np.testing.assert_allclose(info["invalid_fraction"], 1 - valid.size / 50, rtol=1e-5)
    np.testing.assert_allclose(info["score_mean"], np.mean(-((valid - 0.4) ** 2)), rtol=1e-5)
    np.testing.assert_allclose(info["score_std"], np.std(-((valid - 0.4) ** 2)), rtol=1e-5)


def test_its_plans_are_uniform():
    drawn = np.asarray(planner(Box(1)).sample(KEY, planner(Box(1)).initial_distribution(), 4000))
    assert drawn.shape == (4000, 3, 1)
    # Standard errors 0.009 of the mean and 0.005 of the variance: five of them.
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.046)
    np.testing.assert_allclose(drawn.var(0), 1 / 3, atol=0.024)


@pytest.mark.parametrize(
    ("shooter", "world"),
    [(planner(), tree(1)[0]), (planner(Box(2)), hill([0.3, -0.6]))],
    ids=["discrete", "box"],
)
def test_nothing_is_carried_over(shooter, world):
    fresh = shooter.init(KEY)
    _, state, _ = plan(shooter, world, fresh, KEY)
    for left, right in zip(jax.tree.leaves(state), jax.tree.leaves(fresh), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", ["horizon", "population_size"])
def test_settings_that_make_no_sense_are_refused(name):
    with pytest.raises(ValueError, match=rf"planner.{name}=0 must be at least 1"):
        planner(**{name: 0})
