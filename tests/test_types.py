"""Action spaces: samples cover the space, and features encode actions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.types import MAX_ENUMERATED_ACTIONS, AbstractActionSpace, Box, Discrete, MultiDiscrete


@eqx.filter_jit
def _samples(space, keys):
    return jax.vmap(space.sample)(keys)


def samples(space: AbstractActionSpace, num_samples: int) -> np.ndarray:
    return np.asarray(_samples(space, jax.random.split(jax.random.key(0), num_samples)))


def test_discrete_samples_are_uniform():
    counts = np.bincount(samples(Discrete(5), 5000), minlength=5)
    assert counts.size == 5
    # Standard deviation of a binomial: sqrt(5000 · 1/5 · 4/5) = 28. Tolerance: five of them.
    np.testing.assert_allclose(counts, 1000, atol=141)


def test_multi_discrete_samples_are_uniform_over_combinations():
    sampled = samples(MultiDiscrete((3, 2, 4)), 6000)
    assert sampled.shape == (6000, 3)
    counts = np.bincount(np.ravel_multi_index(tuple(sampled.T), (3, 2, 4)), minlength=24)
    # Standard deviation of a binomial: sqrt(6000 · 1/24 · 23/24) = 15.5. Tolerance: five of them.
    np.testing.assert_allclose(counts, 250, atol=77)


def test_box_samples_are_uniform_within_the_bounds():
    sampled = samples(Box(3), 5000)
    assert sampled.shape == (5000, 3)
    assert np.all(np.abs(sampled) <= 1)
    # Standard errors: 0.577 / sqrt(5000) = 0.0082 of the mean, 0.298 / sqrt(5000) = 0.0042 of the
    # variance. Tolerance: five of them.
    np.testing.assert_allclose(sampled.mean(0), 0, atol=0.041)
    np.testing.assert_allclose(sampled.var(0), 1 / 3, atol=0.021)


def test_features_of_discrete_actions_are_one_hot():
    space = Discrete(4)
    assert space.num_features == 4
    np.testing.assert_array_equal(jax.vmap(space.features)(jnp.arange(4)), np.eye(4))


def test_features_of_multi_discrete_actions_are_concatenated_one_hots():
    space = MultiDiscrete((3, 2))
    assert space.num_features == 5
    np.testing.assert_array_equal(space.features(jnp.array([2, 0])), [0, 0, 1, 1, 0])
    np.testing.assert_array_equal(space.features(jnp.array([0, 1])), [1, 0, 0, 0, 1])


def test_mean_features_are_the_mean_over_samples(action_space):
    sampled = samples(action_space, 5000)
    features = jax.vmap(action_space.features)(sampled)
    assert action_space.mean_features.shape == (action_space.num_features,)
    assert action_space.mean_features.dtype == jnp.float32
    # Standard error of a mean: at most 0.577 / sqrt(5000) = 0.0082. Tolerance: five of them.
    np.testing.assert_allclose(features.mean(0), action_space.mean_features, atol=0.041)


def test_features_of_a_box_action_are_the_action_itself():
    space = Box(2)
    assert space.num_features == 2
    np.testing.assert_array_equal(space.features(jnp.array([0.25, -1.0])), [0.25, -1.0])


def test_from_features_inverts_features(action_space):
    actions = samples(action_space, 5)
    np.testing.assert_array_equal(
        jax.vmap(lambda action: action_space.from_features(action_space.features(action)))(actions),
        actions,
    )


def test_from_features_maps_any_vector_into_the_space():
    assert Discrete(3).from_features(jnp.array([-5.0, -1.0, -2.0])) == 1
    np.testing.assert_array_equal(
        MultiDiscrete((3, 2)).from_features(jnp.array([-5.0, -1.0, -2.0, 9.0, 7.0])), [1, 0]
    )
    np.testing.assert_array_equal(
        Box(3).from_features(jnp.array([-5.0, 0.5, 2.0])), [-1.0, 0.5, 1.0]
    )


@pytest.mark.parametrize("num_actions", [1, 8])
def test_discrete_candidates_are_all_actions(num_actions):
    np.testing.assert_array_equal(Discrete(3).candidates(jax.random.key(0), num_actions), [0, 1, 2])


def test_multi_discrete_candidates_are_all_combinations_or_samples():
    few = MultiDiscrete((3, 2)).candidates(jax.random.key(0), 1)
    np.testing.assert_array_equal(few, [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]])
    most = MultiDiscrete((MAX_ENUMERATED_ACTIONS,)).candidates(jax.random.key(0), 1)
    assert most.shape == (MAX_ENUMERATED_ACTIONS, 1)
    sizes = (MAX_ENUMERATED_ACTIONS // 2, 3)
    many = np.asarray(MultiDiscrete(sizes).candidates(jax.random.key(0), 20))
    assert many.shape == (20, 2)
    assert np.all((many >= 0) & (many < sizes))
    assert np.unique(many, axis=0).shape[0] > 10


@pytest.mark.parametrize(
    "space", [Discrete(100), MultiDiscrete((10, 6))], ids=["Discrete", "MultiDiscrete"]
)
def test_of_more_actions_than_may_be_enumerated_candidates_are_different_samples(space):
    draws = [np.asarray(space.candidates(jax.random.key(seed), 12, 24)) for seed in range(60)]
    for drawn in draws:
        assert len(drawn) == 12 == len(np.unique(drawn, axis=0))
    every = 100 if isinstance(space, Discrete) else 60
    assert len(np.unique(np.concatenate(draws), axis=0)) == every


def test_there_are_no_more_candidates_than_actions():
    assert Discrete(5).candidates(jax.random.key(0), 12, 2).shape == (5,)


def test_box_candidates_are_distinct_samples():
    candidates = np.asarray(Box(2).candidates(jax.random.key(0), 50))
    assert candidates.shape == (50, 2)
    assert np.all(np.abs(candidates) <= 1)
    assert np.unique(candidates).size == 100
    other = Box(2).candidates(jax.random.key(1), 50)
    assert not np.array_equal(candidates, other)


def test_candidates_have_the_shape_and_dtype_of_samples(action_space):
    sample = action_space.sample(jax.random.key(0))
    candidate = action_space.candidates(jax.random.key(0), 2)[0]
    assert (sample.shape, sample.dtype) == (candidate.shape, candidate.dtype)
    assert action_space.features(sample).shape == (action_space.num_features,)
    assert action_space.features(sample).dtype == jnp.float32
