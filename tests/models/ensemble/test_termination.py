"""Learned, known and no termination."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.ensemble.termination import KnownTermination, LearnedTermination, NoTermination
from tests.models.small import (
    NORMALISER,
    SIZES,
    example_step,
    losses,
    num_parameters,
    random_transitions,
    small_model,
    weighted,
    zeroed,
)

TERMINATION = weighted(lambda: LearnedTermination(**SIZES, key=jax.random.key(0), width=8))
YES, NO = jnp.array(True), jnp.array(False)


def test_a_zero_network_predicts_one_half():
    network = zeroed(TERMINATION)
    assert network(NORMALISER, *example_step()) == 0.5
    np.testing.assert_allclose(network.loss(NORMALISER, *example_step(), YES), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(network.loss(NORMALISER, *example_step(), NO), np.log(2), rtol=1e-6)


def test_the_loss_is_the_negative_log_likelihood_of_what_happened():
    continuation = float(TERMINATION(NORMALISER, *example_step()))
    assert 0 < continuation < 1
    np.testing.assert_allclose(
        TERMINATION.loss(NORMALISER, *example_step(), NO), -np.log(continuation), rtol=1e-5
    )
    np.testing.assert_allclose(
        TERMINATION.loss(NORMALISER, *example_step(), YES), -np.log(1 - continuation), rtol=1e-5
    )


def test_a_saturated_network_has_a_finite_loss():
    saturated = jax.tree.map(
        lambda leaf: 1e4 * leaf if isinstance(leaf, jax.Array) else leaf, TERMINATION
    )
    assert saturated(NORMALISER, *example_step()) in (0, 1)
    assert np.isfinite(saturated.loss(NORMALISER, *example_step(), YES))
    assert np.isfinite(saturated.loss(NORMALISER, *example_step(), NO))


def test_the_continuation_depends_on_the_next_observation_alone():
    of_observation, of_action, of_next = jax.grad(
        lambda *step: TERMINATION(NORMALISER, *step), (0, 1, 2)
    )(*example_step())
    assert np.abs(of_next).min() > 0
    assert np.abs(of_observation).max() == np.abs(of_action).max() == 0


@pytest.mark.parametrize(("limit", "continuation"), [(3.0, 0.0), (4.0, 1.0)])
def test_a_known_termination_is_its_function_of_the_step(limit, continuation):
    known = KnownTermination(
        lambda observation, action, next_observation: next_observation[3] > limit
    )
    assert known(NORMALISER, *example_step()) == continuation


def test_a_missing_termination_function_is_refused():
    with pytest.raises(
        ValueError,
        match=r"env.known_termination=null: .* Choose .* model/termination=learned\.$",
    ):
        KnownTermination(None, **SIZES, key=jax.random.key(0))


@pytest.mark.parametrize(
    "make",
    [NoTermination, partial(KnownTermination, lambda *step: jnp.zeros((), bool))],
    ids=["never", "known"],
)
def test_a_misspelt_setting_is_refused(make):
    with pytest.raises(TypeError, match="widht"):
        make(widht=8)


def test_without_termination_episodes_always_continue():
    assert NoTermination()(NORMALISER, *example_step()) == 1.0


@pytest.mark.parametrize(
    "make",
    [NoTermination, partial(KnownTermination, lambda *step: jnp.zeros((), bool))],
    ids=["never", "known"],
)
def test_a_termination_that_is_not_learned_has_no_parameters_and_no_loss(make):
    model = small_model(termination=make)
    assert num_parameters(model.components.termination) == 0
    assert losses(model, jax.random.key(0), random_transitions((3, 5)))["loss/termination"] == 0
