"""The memory check finds arrays that are too large without computing them."""

import jax
import jax.numpy as jnp
import pytest

from mbrl.training import memory_check
from mbrl.training.memory_check import check_memory, num_bytes


def test_a_result_that_fits_is_returned_as_shapes():
    result = check_memory(lambda number: {"squares": number**2, "name": "x"}, jnp.arange(3.0))
    assert (result["squares"].shape, result["squares"].dtype, result["name"]) == (
        (3,),
        jnp.float32,
        "x",
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda size: jnp.zeros((size, size)),
        lambda size: jnp.sum(
            jax.lax.map(lambda row: jnp.sum(jnp.zeros((size, size)) + row), jnp.arange(3.0))
        ),
        lambda size: jax.jit(lambda: jnp.sum(jnp.zeros((size, size)) + 1))(),
    ],
    ids=["top level", "loop", "compiled function"],
)
def test_an_array_that_does_not_fit_is_named_and_never_allocated(function):
    assert check_memory(function, 10) is not None
    with pytest.raises(
        MemoryError,
        match=r"an array of shape \(10000000, 10000000\) would take 3.73e\+05 GiB",
    ):
        check_memory(function, 10_000_000)


def test_the_limit_is_a_quarter_of_the_memory(monkeypatch):
    monkeypatch.setattr(memory_check, "memory", lambda: 4000)
    check_memory(jnp.zeros, 250)
    with pytest.raises(MemoryError):
        check_memory(jnp.zeros, 251)


def test_sizes_beyond_64_bits_do_not_overflow():
    assert num_bytes(jax.ShapeDtypeStruct((2**40, 2**40), jnp.float32)) == 2**82
