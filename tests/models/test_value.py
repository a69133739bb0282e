"""Values, fitted and absent."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.value import FittedValue, ZeroValue
from tests.models.small import NORMALISER, OBSERVATION_SIZE, a_step, num_parameters, weighted

VALUE = weighted(lambda: FittedValue(OBSERVATION_SIZE, key=jax.random.key(0), width=8, depth=1))
OBSERVATION = a_step()[0]


def in_rewards(low: float, high: float):
    """NORMALISER, had rewards lain between these."""
    return eqx.tree_at(lambda n: (n.reward_min, n.reward_max), NORMALISER, (jnp.float32(low), jnp.float32(high)))


def test_the_network_reads_the_normalised_observation():
    shifted = eqx.tree_at(lambda n: n.observation_mean, NORMALISER, NORMALISER.observation_mean + NORMALISER.observation_std)
    moved = OBSERVATION + NORMALISER.observation_std
    assert VALUE(shifted, moved) == VALUE(NORMALISER, OBSERVATION)
    assert VALUE(NORMALISER, moved) != VALUE(NORMALISER, OBSERVATION)


def test_it_depends_on_every_entry_of_the_observation():
    assert np.abs(jax.grad(lambda observation: VALUE(NORMALISER, observation))(OBSERVATION)).min() > 0


def test_it_is_in_units_of_reward():
    """Were all rewards ten times as large, whatever their sign, so would be the value."""
    value = VALUE(in_rewards(-2.0, 8.0), OBSERVATION)
    np.testing.assert_allclose(VALUE(in_rewards(-20.0, 80.0), OBSERVATION), 10 * value, rtol=1e-6)
    np.testing.assert_allclose(VALUE(in_rewards(-80.0, 20.0), OBSERVATION), 10 * value, rtol=1e-6)


def test_a_misspelt_setting_of_no_value_is_refused():
    with pytest.raises(TypeError, match="widht"):
        ZeroValue(widht=8)


def test_no_value_is_zero_and_has_nothing_to_learn():
    assert ZeroValue()(NORMALISER, OBSERVATION) == 0
    assert num_parameters(ZeroValue()) == 0
    assert num_parameters(VALUE) > 0
