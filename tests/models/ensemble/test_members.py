"""Ensembles against Python loops over the members."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.models.ensemble.members import init_ensemble, vmap_ensemble
from tests.models.small import member


def make(key: jax.Array, num_inputs: int) -> eqx.nn.Linear:
    return eqx.nn.Linear(num_inputs, 2, key=key)


MEMBERS = init_ensemble(make, jax.random.key(0), 3, num_inputs=4)


def test_members_are_initialised_independently():
    for number, key in enumerate(jax.random.split(jax.random.key(0), 3)):
        np.testing.assert_array_equal(member(MEMBERS, number).weight, make(key, 4).weight)
    assert np.unique(MEMBERS.weight).size == MEMBERS.weight.size


def test_each_member_is_applied_to_its_own_arguments():
    inputs, offsets = jnp.arange(12.0).reshape(3, 4), jnp.arange(3.0)
    outputs = vmap_ensemble(
        lambda linear, x, offset: linear(x) + offset[None], MEMBERS, inputs, offsets
    )
    for number in range(3):
        np.testing.assert_allclose(
            outputs[number], member(MEMBERS, number)(inputs[number]) + number, rtol=1e-6
        )


def test_fields_that_are_not_arrays_are_shared():
    """Such as the function of a known reward."""

    class Scaled(eqx.Module):
        scale: jax.Array
        function: object = eqx.field(static=True)

    scaled = init_ensemble(
        lambda key, **sizes: Scaled(jax.random.uniform(key), jnp.square), jax.random.key(0), 3
    )
    outputs = vmap_ensemble(
        lambda one, x: one.scale * one.function(x), scaled, jnp.array([1.0, 2.0, 3.0])
    )
    np.testing.assert_allclose(outputs, scaled.scale * np.array([1.0, 4.0, 9.0]), rtol=1e-6)
