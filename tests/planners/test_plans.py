"""Distributions over plans: refits by hand, samples, and the shift to the next decision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.noise import white_noise
from mbrl.planners.plans import (
    SAMPLE_CLIP,
    CategoricalPlan,
    GaussianPlan,
    initial_plan_distribution,
)
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete

KEY = jax.random.key(0)
WEIGHTS = jnp.array([0.5, 0.25, 0.25, 0.0])
TWO_ENTRIES = MultiDiscrete((3, 2))
STD = 0.4  # initial


def categorical(*probabilities: list[float]) -> CategoricalPlan:
    return CategoricalPlan(Discrete(len(probabilities[0])), jnp.array(probabilities))


def gaussian(mean: np.ndarray, std: np.ndarray | float) -> GaussianPlan:
    mean = jnp.asarray(mean, jnp.float32)
    return GaussianPlan(mean, jnp.asarray(np.broadcast_to(std, mean.shape), jnp.float32), STD)


def test_a_categorical_refit_is_the_weighted_frequency():
    """In step 0 each action has one plan's weight; in step 1 action 2 has the weight of two."""
    plans = jnp.array([[0, 2], [1, 2], [2, 0], [1, 1]])
    old = categorical([0.2, 0.3, 0.5], [1.0, 0.0, 0.0])
    fitted = np.array([[0.5, 0.25, 0.25], [0.25, 0.0, 0.75]])
    for momentum in (0.0, 0.2):
        refitted = old.refit(plans, WEIGHTS, momentum).probabilities
        np.testing.assert_allclose(
            refitted, momentum * np.asarray(old.probabilities) + (1 - momentum) * fitted, rtol=1e-6
        )
        np.testing.assert_allclose(refitted.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(old.with_mean(plans, WEIGHTS).probabilities, fitted, rtol=1e-6)


def test_a_multi_discrete_refit_counts_each_entry_separately():
    """First entry: 0 with weight 0.75, else 2. Second entry: 1 with weight 0.5, else 0."""
    plans = jnp.array([[[0, 1]], [[0, 0]], [[2, 0]], [[1, 1]]])
    old = CategoricalPlan(TWO_ENTRIES, jnp.array([[0.2, 0.3, 0.5, 1.0, 0.0]]))
    fitted = np.array([[0.75, 0.0, 0.25, 0.5, 0.5]])
    for momentum in (0.0, 0.2):
        refitted = old.refit(plans, WEIGHTS, momentum).probabilities
        np.testing.assert_allclose(
            refitted, momentum * np.asarray(old.probabilities) + (1 - momentum) * fitted, rtol=1e-6
        )


def test_a_gaussian_refit_is_the_weighted_mean_and_variance():
    plans = jnp.array([0.8, 0.4, 0.0, -1.0])[:, None, None]
    old = gaussian([[-0.5]], 0.3)
    mean = 0.5 * 0.8 + 0.25 * 0.4
    variance = 0.5 * 0.3**2 + 0.25 * 0.1**2 + 0.25 * 0.5**2
    for momentum in (0.0, 0.2):
        refitted = old.refit(plans, WEIGHTS, momentum)
        np.testing.assert_allclose(
            refitted.mean, [[momentum * -0.5 + (1 - momentum) * mean]], rtol=1e-6
        )
        np.testing.assert_allclose(
            refitted.std, [[np.sqrt(momentum * 0.3**2 + (1 - momentum) * variance)]], rtol=1e-6
        )


def test_a_gaussian_refit_treats_steps_and_dimensions_separately():
    plans = np.random.default_rng(0).uniform(-1, 1, (4, 3, 2))
    refitted = gaussian(np.zeros((3, 2)), 1.0).refit(jnp.asarray(plans, jnp.float32), WEIGHTS, 0.0)
    mean = np.average(plans, axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(refitted.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(
        refitted.std, np.sqrt(np.average((plans - mean) ** 2, axis=0, weights=WEIGHTS)), rtol=1e-5
    )


def test_a_gaussian_is_fitted_to_samples_beyond_a_bound_and_its_mean_is_clipped():
    """The mean of samples is 1.25, clipped to 1; the std is around the unclipped mean."""
    plans = jnp.array([2.0, 0.5, 0.5, -1.0])[:, None, None]
    refitted = gaussian([[0.0]], 0.3).refit(plans, WEIGHTS, 0.0)
    np.testing.assert_allclose(refitted.mean, [[1.0]])
    np.testing.assert_allclose(refitted.std, [[0.75]], rtol=1e-6)
    np.testing.assert_allclose(gaussian([[0.0]], 0.3).with_mean(-plans, WEIGHTS).mean, [[-1.0]])
    # The average of the old mean, 0.5, and 1.25 is within the bounds.
    np.testing.assert_allclose(
        gaussian([[0.5]], 0.3).refit(plans, WEIGHTS, 0.5).mean, [[0.875]], rtol=1e-6
    )


def test_a_gaussian_with_another_mean_keeps_its_std():
    moved = gaussian([[-0.5]], 0.3).with_mean(
        jnp.array([0.8, 0.4, 0.0, -1.0])[:, None, None], WEIGHTS
    )
    np.testing.assert_allclose(moved.mean, [[0.5]], rtol=1e-6)
    np.testing.assert_array_equal(moved.std, np.float32([[0.3]]))
    assert moved.initial_std == STD


@eqx.filter_jit
def sample(distribution):
    horizon, num_features = jax.tree.leaves(distribution)[0].shape
    return distribution.sample(white_noise(KEY, (4000, horizon, num_features)))


def test_categorical_samples_follow_the_probabilities():
    probabilities = np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    plans = np.asarray(sample(categorical(*probabilities.tolist())))
    assert plans.shape == (4000, 3)
    frequencies = np.stack([np.bincount(step, minlength=3) for step in plans.T]) / 4000
    # Standard deviation of a binomial: at most 0.5 / sqrt(4000) = 0.0079. Tolerance: five of them.
    np.testing.assert_allclose(frequencies, probabilities, atol=0.04)
    np.testing.assert_array_equal(frequencies[1:][probabilities[1:] == 0], 0)


def test_multi_discrete_samples_follow_the_probabilities_of_each_entry():
    probabilities = np.array([[0.1, 0.2, 0.7, 0.25, 0.75], [0.0, 0.0, 1.0, 0.5, 0.5]])
    plans = np.asarray(
        sample(CategoricalPlan(TWO_ENTRIES, jnp.asarray(probabilities, jnp.float32)))
    )
    assert plans.shape == (4000, 2, 2)
    frequencies = np.zeros((2, 3, 2))
    for step in range(2):
        np.add.at(frequencies[step], tuple(plans[:, step].T), 1 / 4000)
    # Entries are independent: joint probabilities are products. Tolerance as above.
    np.testing.assert_allclose(
        frequencies, probabilities[:, :3, None] * probabilities[:, None, 3:], atol=0.04
    )


def test_gaussian_samples_follow_mean_and_std():
    mean, std = np.array([[0.0, 0.5], [-0.6, 0.2]]), np.array([[0.2, 0.1], [0.05, 0.15]])
    plans = np.asarray(sample(gaussian(mean, std)))
    # Standard errors: at most 0.2 / sqrt(4000) = 0.003 of the mean, 1.1 % of the std. Tolerance:
    # five of them. The bounds are four standard deviations away.
    np.testing.assert_allclose(plans.mean(0), mean, atol=0.016)
    np.testing.assert_allclose(plans.std(0), std, rtol=0.056)


def test_actions_of_samples_beyond_a_bound_are_at_the_bound():
    """Half of them if the mean is at the bound; 30.85 % of a normal are above half an std."""
    distribution = gaussian([[1.0], [-1.0], [0.5]], 1.0)
    plans = np.asarray(distribution.actions(sample(distribution)))[:, :, 0]
    assert np.abs(plans).max() == 1
    # Tolerance as above.
    np.testing.assert_allclose((plans == 1).mean(0), [0.5, 0.0228, 0.3085], atol=0.04)
    np.testing.assert_allclose((plans == -1).mean(0), [0.0228, 0.5, 0.0668], atol=0.04)


def test_gaussian_samples_exceed_a_bound_by_a_limited_distance():
    """With a mean at the bound and an std of 0.2, 30.85 % of samples exceed it by 0.1 or more."""
    plans = np.asarray(sample(gaussian([[1.0], [-1.0]], 0.2)))[:, :, 0]
    np.testing.assert_array_equal(np.abs(plans).max(0), np.float32([SAMPLE_CLIP, SAMPLE_CLIP]))
    np.testing.assert_allclose(
        (np.abs(plans) == np.float32(SAMPLE_CLIP)).mean(0), 0.3085, atol=0.04
    )
    assert 0 < SAMPLE_CLIP - 1 < 0.2


@pytest.mark.parametrize("mean", [-1.0, -0.97, 0.0, 0.6, 1.0])
@pytest.mark.parametrize("std", [0.0, 0.5, 100.0])
def test_actions_of_gaussian_samples_lie_inside_the_bounds(mean, std):
    distribution = gaussian(np.full((2, 2), mean), std)
    assert np.abs(distribution.actions(sample(distribution))).max() <= 1


def test_steps_with_equal_noise_have_equal_actions(action_space):
    """So coloured noise holds an action. Here all steps of a plan have the same noise."""
    initial = initial_plan_distribution(action_space, 5, STD)
    noise = np.random.default_rng(0).normal(size=(100, 1, action_space.num_features))
    noise = np.broadcast_to(noise, (100, 5, action_space.num_features))
    plans = np.asarray(initial.sample(jnp.asarray(noise, jnp.float32)))
    np.testing.assert_array_equal(plans, np.broadcast_to(plans[:, :1], plans.shape))
    assert np.unique(plans[:, 0], axis=0).shape[0] > 2


def test_the_mode_is_the_most_likely_plan():
    np.testing.assert_array_equal(categorical([0.2, 0.5, 0.3], [0.6, 0.1, 0.3]).mode(), [1, 0])
    two_entries = CategoricalPlan(
        TWO_ENTRIES, jnp.array([[0.2, 0.5, 0.3, 0.4, 0.6], [0.6, 0.1, 0.3, 0.9, 0.1]])
    )
    np.testing.assert_array_equal(two_entries.mode(), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(gaussian([[0.25], [-1.0]], 1.0).mode(), [[0.25], [-1.0]])


def test_a_shifted_categorical_is_halfway_to_uniform():
    shifted = categorical([1.0, 0.0], [0.3, 0.7], [0.0, 1.0]).shifted().probabilities
    np.testing.assert_allclose(shifted, [[0.4, 0.6], [0.25, 0.75], [0.5, 0.5]], rtol=1e-6)
    two_entries = CategoricalPlan(
        TWO_ENTRIES, jnp.array([[1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.2, 0.8]])
    ).shifted()
    third = 1 / 3
    expected = [
        [third / 2, (1 + third) / 2, third / 2, 0.35, 0.65],
        [third, third, third, 0.5, 0.5],
    ]
    np.testing.assert_allclose(two_entries.probabilities, expected, rtol=1e-6)


def test_a_shifted_gaussian_has_the_initial_std():
    shifted = gaussian([[0.1], [0.2], [0.3]], np.array([[0.01], [0.02], [0.03]])).shifted()
    np.testing.assert_allclose(shifted.mean, [[0.2], [0.3], [0.0]], rtol=1e-6)
    np.testing.assert_array_equal(shifted.std, np.full((3, 1), STD, np.float32))


def test_the_initial_distribution_is_unbiased_and_covers_the_space():
    np.testing.assert_array_equal(
        initial_plan_distribution(Discrete(4), 3, STD).probabilities, np.full((3, 4), 0.25)
    )
    np.testing.assert_allclose(
        initial_plan_distribution(TWO_ENTRIES, 2, STD).probabilities,
        [[1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2]] * 2,
        rtol=1e-6,
    )
    np.testing.assert_array_equal(initial_plan_distribution(Box(2), 2, STD).mean, np.zeros((2, 2)))
    np.testing.assert_array_equal(
        initial_plan_distribution(Box(2), 2, STD).std, np.full((2, 2), STD, np.float32)
    )
    plans = np.asarray(sample(initial_plan_distribution(Box(2), 2, 0.5)))
    assert plans.min() < -0.95
    assert plans.max() > 0.95


def test_repeated_shifts_lead_back_to_the_initial_distribution(action_space):
    """So old plans fade out; shapes and dtypes stay the same."""
    plan = initial = initial_plan_distribution(action_space, 2, STD)
    plan = plan.refit(sample(plan), jnp.eye(1, 4000)[0], 0.0)
    for _ in range(2):
        plan = plan.shifted()
    for left, right in zip(jax.tree.leaves(plan), jax.tree.leaves(initial), strict=True):
        assert jax.typeof(left) == jax.typeof(right)
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_an_unknown_action_space_is_rejected():
    class Words(AbstractActionSpace):
        num_features: int = 1

        @property
        def mean_features(self):
            return jnp.zeros(1)

        def sample(self, key):
            return jnp.zeros(())

        def features(self, action):
            return action[None]

        def from_features(self, features):
            return features[0]

        def candidates(self, key, num_actions):
            return jnp.zeros(num_actions)

    with pytest.raises(
        TypeError, match=r"Words actions have no plan distribution. Add one to planners/plans.py"
    ):
        initial_plan_distribution(Words(), 3, STD)
