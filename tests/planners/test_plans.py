"""Distributions over plans: refits by hand, samples inside the space, and what is left of them a step later."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.plans import INITIAL_STD, CategoricalPlan, GaussianPlan, widest_plan
from mbrl.types import AbstractActionSpace, Box, Discrete
from tests.quick import quick_jit

KEY = jax.random.key(0)
WEIGHTS = jnp.array([0.5, 0.25, 0.25, 0.0])


def test_a_categorical_refit_is_the_weighted_frequency():
    """Step 0: actions 0, 1, 2 by weight; step 1: action 2 with 0.5 + 0.25. The last plan has no weight."""
    plans = jnp.array([[0, 2], [1, 2], [2, 0], [1, 1]])
    old = CategoricalPlan(jnp.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]))
    fitted = np.array([[0.5, 0.25, 0.25], [0.25, 0.0, 0.75]])
    for momentum in (0.0, 0.2):
        refitted = old.refit(plans, WEIGHTS, momentum).probabilities
        np.testing.assert_allclose(refitted, momentum * np.asarray(old.probabilities) + (1 - momentum) * fitted, rtol=1e-6)
        np.testing.assert_allclose(refitted.sum(1), 1, rtol=1e-6)


def test_a_gaussian_refit_is_the_weighted_mean_and_variance():
    plans = jnp.array([0.8, 0.4, 0.0, -1.0])[:, None, None]
    old = GaussianPlan(jnp.array([[-0.5]]), jnp.array([[0.3]]))
    mean = 0.5 * 0.8 + 0.25 * 0.4
    variance = 0.5 * 0.3**2 + 0.25 * 0.1**2 + 0.25 * 0.5**2
    for momentum in (0.0, 0.2):
        refitted = old.refit(plans, WEIGHTS, momentum)
        np.testing.assert_allclose(refitted.mean, [[momentum * -0.5 + (1 - momentum) * mean]], rtol=1e-6)
        np.testing.assert_allclose(refitted.std, [[np.sqrt(momentum * 0.3**2 + (1 - momentum) * variance)]], rtol=1e-6)


def test_a_gaussian_refit_keeps_steps_and_dimensions_apart():
    plans = np.random.default_rng(0).uniform(-1, 1, (4, 3, 2))
    refitted = GaussianPlan(jnp.zeros((3, 2)), jnp.ones((3, 2))).refit(jnp.asarray(plans, jnp.float32), WEIGHTS, 0.0)
    mean = np.average(plans, axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(refitted.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(refitted.std, np.sqrt(np.average((plans - mean) ** 2, axis=0, weights=WEIGHTS)), rtol=1e-5)


@quick_jit
def sample(distribution):
    return distribution.sample(KEY, 4000)


def gaussian(mean, std):
    return GaussianPlan(*(jnp.asarray(np.broadcast_to(values, (2, 2)), jnp.float32) for values in (mean, std)))


def test_categorical_samples_follow_the_probabilities():
    probabilities = np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
    plans = np.asarray(sample(CategoricalPlan(jnp.asarray(probabilities, jnp.float32))))
    assert plans.shape == (4000, 2)
    frequencies = np.stack([np.bincount(step, minlength=3) for step in plans.T]) / 4000
    # A binomial's standard deviation is at most 0.5 / sqrt(4000) = 0.0079: five of them.
    np.testing.assert_allclose(frequencies, probabilities, atol=0.04)
    assert not plans[:, 1].any()


def test_gaussian_samples_follow_mean_and_std():
    mean, std = np.array([[0.0, 0.5], [-0.6, 0.2]]), np.array([[0.5, 0.1], [0.05, 0.2]])
    plans = np.asarray(sample(gaussian(mean, std)))
    # Standard error of the mean at most 0.5 / sqrt(4000) = 0.008; the truncation at two takes 12 % off the spread (0.8796).
    np.testing.assert_allclose(plans.mean(0), mean, atol=0.04)
    np.testing.assert_allclose(plans.std(0), 0.8796 * std, rtol=0.06)
    assert np.all(np.abs(plans - mean) <= 2 * std + 1e-6)


@pytest.mark.parametrize("mean", [-1.0, -0.97, 0.0, 0.6, 1.0])
@pytest.mark.parametrize("std", [0.0, 0.5, 100.0])
def test_gaussian_samples_lie_inside_the_bounds(mean, std):
    assert np.abs(sample(gaussian(mean, std))).max() <= 1


def test_the_best_plan_is_the_mode():
    np.testing.assert_array_equal(CategoricalPlan(jnp.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])).best(), [1, 0])
    np.testing.assert_array_equal(GaussianPlan(jnp.array([[0.25], [-1.0]]), jnp.ones((2, 1))).best(), [[0.25], [-1.0]])


def test_a_categorical_plan_a_step_later_is_half_forgotten():
    shifted = CategoricalPlan(jnp.array([[1.0, 0.0], [0.3, 0.7], [0.0, 1.0]])).shifted().probabilities
    np.testing.assert_allclose(shifted, [[0.4, 0.6], [0.25, 0.75], [0.5, 0.5]], rtol=1e-6)


def test_a_gaussian_plan_a_step_later_is_wide_again():
    shifted = GaussianPlan(jnp.array([[0.1], [0.2], [0.3]]), jnp.array([[0.01], [0.02], [0.03]])).shifted()
    np.testing.assert_allclose(shifted.mean, [[0.2], [0.3], [0.0]], rtol=1e-6)
    np.testing.assert_array_equal(shifted.std, np.full((3, 1), INITIAL_STD))


def test_the_widest_plan_prefers_nothing_and_reaches_everything():
    np.testing.assert_array_equal(widest_plan(Discrete(4), 3).probabilities, np.full((3, 4), 0.25))
    np.testing.assert_array_equal(widest_plan(Box(2), 2).mean, np.zeros((2, 2)))
    plans = np.asarray(sample(widest_plan(Box(2), 2)))
    assert plans.min() < -0.95
    assert plans.max() > 0.95


def test_the_widest_plan_is_what_shifting_leads_back_to(action_space):
    """So that an old plan fades where nothing keeps it up, and the state's shapes stay as they are."""
    plan = widest = widest_plan(action_space, 2)
    plan = plan.refit(sample(plan), jnp.eye(1, 4000)[0], 0.0)
    for _ in range(2):
        plan = plan.shifted()
    for left, fresh in zip(jax.tree.leaves(plan), jax.tree.leaves(widest), strict=True):
        assert (left.shape, left.dtype, left.weak_type) == (fresh.shape, fresh.dtype, fresh.weak_type)
        np.testing.assert_allclose(left, fresh, atol=1e-6)


def test_a_space_without_a_distribution_is_refused():
    class Words(AbstractActionSpace):
        num_features: int = 1

        def sample(self, key):
            return jnp.zeros(())

        def features(self, action):
            return action[None]

        def nearest(self, features):
            return features[0]

        def candidates(self, key, num_actions):
            return jnp.zeros(num_actions)

    with pytest.raises(TypeError, match=r"Words actions have no plan distribution; add one to planners/plans.py"):
        widest_plan(Words(), 3)
