"""Learned and no value."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.value import ValueNetwork, ZeroValue
from tests.models.small import NORMALISER, OBSERVATION_SIZE, example_step, num_parameters, weighted

VALUE = weighted(lambda: ValueNetwork(OBSERVATION_SIZE, key=jax.random.key(0), width=8, depth=1))
OBSERVATION = example_step()[0]


def normaliser_with_rms(size: float):
    """NORMALISER with another typical reward."""
    return eqx.tree_at(lambda n: n.reward_rms, NORMALISER, jnp.float32(size))


def test_the_network_reads_the_normalised_observation():
    shifted = eqx.tree_at(
        lambda n: n.observation_mean,
        NORMALISER,
        NORMALISER.observation_mean + NORMALISER.observation_std,
    )
    moved = OBSERVATION + NORMALISER.observation_std
    assert VALUE(shifted, moved) == VALUE(NORMALISER, OBSERVATION)
    assert VALUE(NORMALISER, moved) != VALUE(NORMALISER, OBSERVATION)


def test_the_value_depends_on_every_entry_of_the_observation():
    assert (
        np.abs(jax.grad(lambda observation: VALUE(NORMALISER, observation))(OBSERVATION)).min() > 0
    )


def test_the_value_scales_with_a_typical_reward():
    np.testing.assert_allclose(
        VALUE(normaliser_with_rms(50.0), OBSERVATION),
        10 * VALUE(normaliser_with_rms(5.0), OBSERVATION),
        rtol=1e-6,
    )


def test_a_misspelt_setting_of_no_value_is_refused():
    with pytest.raises(TypeError, match="widht"):
        ZeroValue(widht=8)


def test_no_value_is_zero_and_has_no_parameters():
    assert ZeroValue()(NORMALISER, OBSERVATION) == 0
    assert num_parameters(ZeroValue()) == 0
    assert num_parameters(VALUE) > 0
