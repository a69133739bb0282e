"""Policies against the definitions of their distributions."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.policy import Categorical, SquashedGaussian, Uniform
from mbrl.types import Box, Discrete, MultiDiscrete

KEY = jax.random.key(0)
NUM_SAMPLES = 20_000
SPACES = [Discrete(3), MultiDiscrete((3, 2))]


def every_action(space) -> np.ndarray:
    sizes = (space.num_actions,) if isinstance(space, Discrete) else space.sizes
    actions = np.array(list(itertools.product(*map(range, sizes))))
    return actions[:, 0] if isinstance(space, Discrete) else actions


def categorical(space) -> Categorical:
    return Categorical(space, jnp.array([0.5, -1.0, 2.0, 0.3, 1.5][: space.num_features]))


DISCRETE = [make(space) for space in SPACES for make in (Uniform, categorical)]


@pytest.mark.parametrize("policy", DISCRETE, ids=str)
def test_samples_have_the_probabilities_that_the_policy_states(policy):
    actions = every_action(policy.action_space)
    probabilities = np.exp(jax.vmap(policy.log_prob)(jnp.asarray(actions)))
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
    samples = np.asarray(jax.vmap(policy.sample)(jax.random.split(KEY, NUM_SAMPLES)))
    samples, actions = (values.reshape(len(values), -1) for values in (samples, actions))
    for action, probability in zip(actions, probabilities, strict=True):
        count = np.all(samples == action, axis=1).sum()
        deviation = np.sqrt(NUM_SAMPLES * probability * (1 - probability))
        assert abs(count - NUM_SAMPLES * probability) < 5 * deviation


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_mode_is_the_most_likely_action(space):
    policy, actions = categorical(space), every_action(space)
    best = np.argmax(jax.vmap(policy.log_prob)(jnp.asarray(actions)))
    np.testing.assert_array_equal(policy.mode(), actions[best])


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_candidates_of_few_actions_are_all_of_them_with_their_logits(space):
    for policy in (Uniform(space), categorical(space)):
        actions, logits = policy.candidates(KEY, 2)
        np.testing.assert_array_equal(actions, every_action(space))
        expected = jax.nn.softmax(jax.vmap(policy.log_prob)(actions))
        np.testing.assert_allclose(jax.nn.softmax(logits), expected, rtol=1e-5)


def test_the_candidates_of_many_actions_are_samples_with_equal_logits():
    space = Discrete(100)
    logits = jnp.where(jnp.arange(100) < 10, 5.0, 0.0)
    actions, prior = Categorical(space, logits).candidates(KEY, 400)
    assert actions.shape == (400,)
    # A likely action has the probability 148 / (1480 + 90).
    np.testing.assert_allclose(np.mean(actions < 10), 1480 / 1570, atol=0.05)
    assert np.all(prior == prior[0])
    actions, prior = Uniform(space).candidates(KEY, 40)
    assert len(set(np.asarray(actions).tolist())) == 40
    assert np.all(prior == 0)


GAUSSIANS = [
    SquashedGaussian(jnp.array([mean]), jnp.array([std]))
    for mean, std in ((0.0, 0.5), (0.8, 0.2), (-0.5, 1.0))
]


@pytest.mark.parametrize("policy", GAUSSIANS, ids=str)
def test_the_density_of_a_squashed_gaussian_is_that_of_its_samples(policy):
    edges = np.linspace(-0.99, 0.99, 100)
    middles = jnp.asarray((edges[1:] + edges[:-1]) / 2, jnp.float32)[:, None]
    density = np.exp(jax.vmap(policy.log_prob)(middles))
    samples = np.asarray(policy.candidates(KEY, NUM_SAMPLES).actions)
    assert np.all(np.abs(samples) <= 1)
    counts, _ = np.histogram(samples, edges)
    expected = NUM_SAMPLES * density * np.diff(edges)
    # The histogram's noise, and the curvature inside its widest bins.
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected + 1) + 0.1 * expected)


def test_a_squashed_gaussian_is_finite_at_the_bounds():
    policy = SquashedGaussian(jnp.array([0.3, 0.0]), jnp.array([0.1, 2.0]))
    value, gradient = eqx.filter_value_and_grad(lambda each: each.log_prob(jnp.array([1.0, -1.0])))(
        policy
    )
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    np.testing.assert_allclose(policy.mode(), np.tanh([0.3, 0.0]), rtol=1e-6)


def test_uniform_box_actions_have_the_density_of_the_cube():
    np.testing.assert_allclose(Uniform(Box(3)).log_prob(jnp.zeros(3)), -3 * np.log(2), rtol=1e-6)
    np.testing.assert_array_equal(Uniform(Box(3)).mode(), np.zeros(3))
