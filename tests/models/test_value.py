"""Values, fitted and absent."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.value import ValueNetwork, ZeroValue
from tests.models.small import NORMALISER, OBSERVATION_SIZE, a_step, num_parameters, weighted

VALUE = weighted(lambda: ValueNetwork(OBSERVATION_SIZE, key=jax.random.key(0), width=8, depth=1))
OBSERVATION = a_step()[0]


def in_rewards(size: float):
    """NORMALISER, had rewards been of this typical size."""
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


def test_it_depends_on_every_entry_of_the_observation():
    assert (
        np.abs(jax.grad(lambda observation: VALUE(NORMALISER, observation))(OBSERVATION)).min() > 0
    )


def test_it_is_in_units_of_reward():
    """Were all rewards ten times as large, so would be the value."""
    np.testing.assert_allclose(
        VALUE(in_rewards(50.0), OBSERVATION), 10 * VALUE(in_rewards(5.0), OBSERVATION), rtol=1e-6
    )


def test_a_misspelt_setting_of_no_value_is_refused():
    with pytest.raises(TypeError, match="widht"):
        ZeroValue(widht=8)


def test_no_value_is_zero_and_has_nothing_to_learn():
    assert ZeroValue()(NORMALISER, OBSERVATION) == 0
    assert num_parameters(ZeroValue()) == 0
    assert num_parameters(VALUE) > 0
