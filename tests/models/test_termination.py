"""Terminations, learned, known and absent."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.termination import KnownTermination, LearnedTermination, NoTermination
from tests.models.small import (
    NORMALISER,
    SIZES,
    a_step,
    losses,
    num_parameters,
    silenced,
    small_model,
    some_transitions,
    weighted,
)

TERMINATION = weighted(lambda: LearnedTermination(**SIZES, key=jax.random.key(0), width=8))
YES, NO = jnp.array(True), jnp.array(False)


def test_a_silent_network_knows_nothing():
    silent = silenced(TERMINATION)
    assert silent(NORMALISER, *a_step()) == 0.5
    np.testing.assert_allclose(silent.loss(NORMALISER, *a_step(), YES), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(silent.loss(NORMALISER, *a_step(), NO), np.log(2), rtol=1e-6)


def test_the_loss_is_the_negative_log_likelihood_of_what_happened():
    continuation = float(TERMINATION(NORMALISER, *a_step()))
    assert 0 < continuation < 1
    np.testing.assert_allclose(
        TERMINATION.loss(NORMALISER, *a_step(), NO), -np.log(continuation), rtol=1e-5
    )
    np.testing.assert_allclose(
        TERMINATION.loss(NORMALISER, *a_step(), YES), -np.log(1 - continuation), rtol=1e-5
    )


def test_a_sure_network_stays_finite():
    sure = jax.tree.map(
        lambda leaf: 1e4 * leaf if isinstance(leaf, jax.Array) else leaf, TERMINATION
    )
    assert sure(NORMALISER, *a_step()) in (0, 1)
    assert np.isfinite(sure.loss(NORMALISER, *a_step(), YES))
    assert np.isfinite(sure.loss(NORMALISER, *a_step(), NO))


def test_the_continuation_depends_on_where_the_step_led_and_on_nothing_else():
    of_observation, of_action, of_next = jax.grad(
        lambda *step: TERMINATION(NORMALISER, *step), (0, 1, 2)
    )(*a_step())
    assert np.abs(of_next).min() > 0
    assert np.abs(of_observation).max() == np.abs(of_action).max() == 0


@pytest.mark.parametrize(("limit", "continuation"), [(3.0, 0.0), (4.0, 1.0)])
def test_a_known_termination_is_its_function_of_the_step(limit, continuation):
    known = KnownTermination(
        lambda observation, action, next_observation: next_observation[3] > limit
    )
    assert known(NORMALISER, *a_step()) == continuation


def test_a_termination_that_nobody_knows_is_refused():
    with pytest.raises(
        ValueError,
        match=r"model/termination=known needs .* env.known_termination is null here: .* model/termination=learned\.$",
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


def test_never_goes_on():
    assert NoTermination()(NORMALISER, *a_step()) == 1.0


@pytest.mark.parametrize(
    "make",
    [NoTermination, partial(KnownTermination, lambda *step: jnp.zeros((), bool))],
    ids=["never", "known"],
)
def test_what_is_not_learned_has_no_parameters_and_no_loss(make):
    model = small_model(termination=make)
    assert num_parameters(model.components.termination) == 0
    assert losses(model, jax.random.key(0), some_transitions((3, 5)))["loss/termination"] == 0
