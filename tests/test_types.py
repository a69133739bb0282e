"""Action spaces: what is drawn lies in the space and everywhere in it, and networks read it faithfully."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.types import MAX_ENUMERATED_ACTIONS, AbstractActionSpace, Box, Discrete, MultiDiscrete


@eqx.filter_jit
def _samples(space, keys):
    return jax.vmap(space.sample)(keys)


def samples(space: AbstractActionSpace, number: int) -> np.ndarray:
    return np.asarray(_samples(space, jax.random.split(jax.random.key(0), number)))


def test_discrete_samples_are_uniform_over_all_actions():
    counts = np.bincount(samples(Discrete(5), 5000), minlength=5)
    assert counts.size == 5
    # Binomial, standard deviation sqrt(5000 · 1/5 · 4/5) = 28: five of them.
    np.testing.assert_allclose(counts, 1000, atol=141)


def test_samples_of_several_choices_are_uniform_over_all_combinations():
    drawn = samples(MultiDiscrete((3, 2, 4)), 6000)
    assert drawn.shape == (6000, 3)
    counts = np.bincount(np.ravel_multi_index(tuple(drawn.T), (3, 2, 4)), minlength=24)
    # Binomial, standard deviation sqrt(6000 · 1/24 · 23/24) = 15.5: five of them.
    np.testing.assert_allclose(counts, 250, atol=77)


def test_box_samples_are_uniform_within_the_bounds():
    drawn = samples(Box(3), 5000)
    assert drawn.shape == (5000, 3)
    assert np.all(np.abs(drawn) <= 1)
    # Standard deviation of a mean of 5000: 0.577 / sqrt(5000) = 0.0082, of a variance: 0.298 / sqrt(5000) = 0.0042.
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.041)
    np.testing.assert_allclose(drawn.var(0), 1 / 3, atol=0.021)


def test_features_of_discrete_actions_are_one_hot():
    space = Discrete(4)
    assert space.num_features == 4
    np.testing.assert_array_equal(jax.vmap(space.features)(jnp.arange(4)), np.eye(4))


def test_features_of_several_choices_are_one_hots_in_a_row():
    space = MultiDiscrete((3, 2))
    assert space.num_features == 5
    np.testing.assert_array_equal(space.features(jnp.array([2, 0])), [0, 0, 1, 1, 0])
    np.testing.assert_array_equal(space.features(jnp.array([0, 1])), [1, 0, 0, 0, 1])


def test_mean_features_are_those_of_many_samples(action_space):
    drawn = samples(action_space, 5000)
    features = jax.vmap(action_space.features)(drawn)
    assert action_space.mean_features.shape == (action_space.num_features,)
    assert action_space.mean_features.dtype == jnp.float32
    # Standard deviation of an entry at most 0.577, of its mean 0.0082: five of them.
    np.testing.assert_allclose(features.mean(0), action_space.mean_features, atol=0.041)


def test_features_of_box_actions_are_themselves():
    space = Box(2)
    assert space.num_features == 2
    np.testing.assert_array_equal(space.features(jnp.array([0.25, -1.0])), [0.25, -1.0])


def test_the_nearest_action_to_its_own_features_is_itself(action_space):
    actions = samples(action_space, 5)
    np.testing.assert_array_equal(
        jax.vmap(lambda action: action_space.from_features(action_space.features(action)))(actions),
        actions,
    )


def test_the_nearest_action_to_any_vector_lies_in_the_space():
    assert Discrete(3).from_features(jnp.array([-5.0, -1.0, -2.0])) == 1
    np.testing.assert_array_equal(
        MultiDiscrete((3, 2)).from_features(jnp.array([-5.0, -1.0, -2.0, 9.0, 7.0])), [1, 0]
    )
    np.testing.assert_array_equal(
        Box(3).from_features(jnp.array([-5.0, 0.5, 2.0])), [-1.0, 0.5, 1.0]
    )


@pytest.mark.parametrize("num_actions", [1, 8])
def test_discrete_candidates_are_all_actions_whatever_the_number(num_actions):
    np.testing.assert_array_equal(Discrete(3).candidates(jax.random.key(0), num_actions), [0, 1, 2])


def test_candidates_of_several_choices_are_all_combinations_where_they_are_few():
    few = MultiDiscrete((3, 2)).candidates(jax.random.key(0), 1)
    np.testing.assert_array_equal(few, [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]])
    assert MultiDiscrete((MAX_ENUMERATED_ACTIONS,)).candidates(jax.random.key(0), 1).shape == (
        MAX_ENUMERATED_ACTIONS,
        1,
    )
    many = np.asarray(
        MultiDiscrete((MAX_ENUMERATED_ACTIONS // 2, 3)).candidates(jax.random.key(0), 20)
    )
    assert many.shape == (20, 2)
    assert np.all((many >= 0) & (many < [MAX_ENUMERATED_ACTIONS // 2, 3]))
    assert np.unique(many, axis=0).shape[0] > 10


def test_box_candidates_are_as_many_as_asked_for_and_differ():
    candidates = np.asarray(Box(2).candidates(jax.random.key(0), 50))
    assert candidates.shape == (50, 2)
    assert np.all(np.abs(candidates) <= 1)
    assert np.unique(candidates).size == 100
    other = Box(2).candidates(jax.random.key(1), 50)
    assert not np.array_equal(candidates, other)


def test_features_and_candidates_are_of_the_dtype_that_samples_are(action_space):
    sample = action_space.sample(jax.random.key(0))
    candidate = action_space.candidates(jax.random.key(0), 2)[0]
    assert (sample.shape, sample.dtype) == (candidate.shape, candidate.dtype)
    assert action_space.features(sample).shape == (action_space.num_features,)
    assert action_space.features(sample).dtype == jnp.float32
