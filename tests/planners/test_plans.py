"""Distributions over plans: refits by hand, samples inside the space, and what is left of them a step later."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.noise import white_noise
from mbrl.planners.plans import SAMPLE_CLIP, CategoricalPlan, GaussianPlan, initial_plan_distribution
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete

KEY = jax.random.key(0)
WEIGHTS = jnp.array([0.5, 0.25, 0.25, 0.0])
TWO_CHOICES = MultiDiscrete((3, 2))
STD = 0.4  # at the start of a decision


def categorical(*probabilities: list[float]) -> CategoricalPlan:
    return CategoricalPlan(Discrete(len(probabilities[0])), jnp.array(probabilities))


def gaussian(mean: np.ndarray, std: np.ndarray | float) -> GaussianPlan:
    mean = jnp.asarray(mean, jnp.float32)
    return GaussianPlan(mean, jnp.asarray(np.broadcast_to(std, mean.shape), jnp.float32), STD)


def test_a_categorical_refit_is_the_weighted_frequency():
    """Step 0: actions 0, 1, 2 by weight; step 1: action 2 with 0.5 + 0.25. The last plan has no weight."""
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


def test_a_refit_to_several_choices_counts_each_by_itself():
    """One step; the first entry is 0 with 0.5 + 0.25 and 2 with 0.25; the second one 1 with 0.5, else 0."""
    plans = jnp.array([[[0, 1]], [[0, 0]], [[2, 0]], [[1, 1]]])
    old = CategoricalPlan(TWO_CHOICES, jnp.array([[0.2, 0.3, 0.5, 1.0, 0.0]]))
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


def test_a_gaussian_refit_keeps_steps_and_dimensions_apart():
    plans = np.random.default_rng(0).uniform(-1, 1, (4, 3, 2))
    refitted = gaussian(np.zeros((3, 2)), 1.0).refit(jnp.asarray(plans, jnp.float32), WEIGHTS, 0.0)
    mean = np.average(plans, axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(refitted.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(
        refitted.std, np.sqrt(np.average((plans - mean) ** 2, axis=0, weights=WEIGHTS)), rtol=1e-5
    )


def test_a_gaussian_is_fitted_to_draws_beyond_a_bound_and_its_mean_kept_within():
    """Of two draws at 2 and 0.5 the mean is 1.25, so 1; the spread is the draws' around their own mean."""
    plans = jnp.array([2.0, 0.5, 0.5, -1.0])[:, None, None]
    refitted = gaussian([[0.0]], 0.3).refit(plans, WEIGHTS, 0.0)
    np.testing.assert_allclose(refitted.mean, [[1.0]])
    np.testing.assert_allclose(refitted.std, [[0.75]], rtol=1e-6)
    np.testing.assert_allclose(gaussian([[0.0]], 0.3).with_mean(-plans, WEIGHTS).mean, [[-1.0]])
    # Half the old mean on a mean of 1.25 stays within.
    np.testing.assert_allclose(
        gaussian([[0.5]], 0.3).refit(plans, WEIGHTS, 0.5).mean, [[0.875]], rtol=1e-6
    )


def test_a_gaussian_that_moves_is_as_wide_as_before():
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
    # A binomial's standard deviation is at most 0.5 / sqrt(4000) = 0.0079: five of them.
    np.testing.assert_allclose(frequencies, probabilities, atol=0.04)
    np.testing.assert_array_equal(frequencies[1:][probabilities[1:] == 0], 0)


def test_samples_of_several_choices_follow_the_probabilities_of_each():
    probabilities = np.array([[0.1, 0.2, 0.7, 0.25, 0.75], [0.0, 0.0, 1.0, 0.5, 0.5]])
    plans = np.asarray(
        sample(CategoricalPlan(TWO_CHOICES, jnp.asarray(probabilities, jnp.float32)))
    )
    assert plans.shape == (4000, 2, 2)
    frequencies = np.zeros((2, 3, 2))
    for step in range(2):
        np.add.at(frequencies[step], tuple(plans[:, step].T), 1 / 4000)
    # The entries are independent: what they do together is the product. Five standard deviations of a binomial, as above.
    np.testing.assert_allclose(
        frequencies, probabilities[:, :3, None] * probabilities[:, None, 3:], atol=0.04
    )


def test_gaussian_samples_follow_mean_and_std():
    mean, std = np.array([[0.0, 0.5], [-0.6, 0.2]]), np.array([[0.2, 0.1], [0.05, 0.15]])
    plans = np.asarray(sample(gaussian(mean, std)))
    # Standard errors of the mean at most 0.2 / sqrt(4000) = 0.003, of the spread 1.1 %: five of them. The bounds are four away.
    np.testing.assert_allclose(plans.mean(0), mean, atol=0.016)
    np.testing.assert_allclose(plans.std(0), std, rtol=0.056)


def test_what_a_gaussian_draws_beyond_a_bound_is_acted_on_at_the_bound():
    """Half of it where the mean is there; of a normal with mean 0.5, 30.85 % are more than half a standard deviation above."""
    distribution = gaussian([[1.0], [-1.0], [0.5]], 1.0)
    plans = np.asarray(distribution.actions(sample(distribution)))[:, :, 0]
    assert np.abs(plans).max() == 1
    # Binomials, as above.
    np.testing.assert_allclose((plans == 1).mean(0), [0.5, 0.0228, 0.3085], atol=0.04)
    np.testing.assert_allclose((plans == -1).mean(0), [0.0228, 0.5, 0.0668], atol=0.04)


def test_gaussian_draws_reach_beyond_a_bound_but_not_far():
    """As far on either side of a mean at the bound: by 0.1 or more in 30.85 % of draws with a standard deviation of 0.2."""
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


def test_noise_that_goes_together_makes_actions_that_do(action_space):
    """So that coloured noise holds an action: here each plan's noise is one draw for all of its steps."""
    widest = initial_plan_distribution(action_space, 5, STD)
    noise = np.random.default_rng(0).normal(size=(100, 1, action_space.num_features))
    plans = np.asarray(
        widest.sample(
            jnp.asarray(np.broadcast_to(noise, (100, 5, action_space.num_features)), jnp.float32)
        )
    )
    np.testing.assert_array_equal(plans, np.broadcast_to(plans[:, :1], plans.shape))
    assert np.unique(plans[:, 0], axis=0).shape[0] > 2


def test_the_best_plan_is_the_mode():
    np.testing.assert_array_equal(categorical([0.2, 0.5, 0.3], [0.6, 0.1, 0.3]).mode(), [1, 0])
    two_choices = CategoricalPlan(
        TWO_CHOICES, jnp.array([[0.2, 0.5, 0.3, 0.4, 0.6], [0.6, 0.1, 0.3, 0.9, 0.1]])
    )
    np.testing.assert_array_equal(two_choices.mode(), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(gaussian([[0.25], [-1.0]], 1.0).mode(), [[0.25], [-1.0]])


def test_a_categorical_plan_a_step_later_is_half_forgotten():
    shifted = categorical([1.0, 0.0], [0.3, 0.7], [0.0, 1.0]).shifted().probabilities
    np.testing.assert_allclose(shifted, [[0.4, 0.6], [0.25, 0.75], [0.5, 0.5]], rtol=1e-6)
    two_choices = CategoricalPlan(
        TWO_CHOICES, jnp.array([[1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.2, 0.8]])
    ).shifted()
    third = 1 / 3
    expected = [
        [third / 2, (1 + third) / 2, third / 2, 0.35, 0.65],
        [third, third, third, 0.5, 0.5],
    ]
    np.testing.assert_allclose(two_choices.probabilities, expected, rtol=1e-6)


def test_a_gaussian_plan_a_step_later_is_wide_again():
    shifted = gaussian([[0.1], [0.2], [0.3]], np.array([[0.01], [0.02], [0.03]])).shifted()
    np.testing.assert_allclose(shifted.mean, [[0.2], [0.3], [0.0]], rtol=1e-6)
    np.testing.assert_array_equal(shifted.std, np.full((3, 1), STD, np.float32))


def test_the_widest_plan_prefers_nothing_and_reaches_everything():
    np.testing.assert_array_equal(
        initial_plan_distribution(Discrete(4), 3, STD).probabilities, np.full((3, 4), 0.25)
    )
    np.testing.assert_allclose(
        initial_plan_distribution(TWO_CHOICES, 2, STD).probabilities,
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


def test_the_widest_plan_is_what_shifting_leads_back_to(action_space):
    """So that an old plan fades where nothing keeps it up, and the state's shapes stay as they are."""
    plan = widest = initial_plan_distribution(action_space, 2, STD)
    plan = plan.refit(sample(plan), jnp.eye(1, 4000)[0], 0.0)
    for _ in range(2):
        plan = plan.shifted()
    for left, fresh in zip(jax.tree.leaves(plan), jax.tree.leaves(widest), strict=True):
        assert (left.shape, left.dtype, left.weak_type) == (
            fresh.shape,
            fresh.dtype,
            fresh.weak_type,
        )
        np.testing.assert_allclose(left, fresh, atol=1e-6)


def test_a_space_without_a_distribution_is_refused():
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
        TypeError, match=r"Words actions have no plan distribution; add one to planners/plans.py"
    ):
        initial_plan_distribution(Words(), 3, STD)
