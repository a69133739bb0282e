"""Gradient descent on modules: what fitting the model and fitting the value have in common."""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

Fitted = TypeVar("Fitted")


def gradient_step(
    optimizer: optax.GradientTransformation,
    optimizer_state: PyTree,
    gradient: PyTree,
    fitted: Fitted,
) -> tuple[Fitted, PyTree]:
    """One gradient step."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
        steps, optimizer_state = optimizer.update(
            gradient, optimizer_state, eqx.filter(fitted, eqx.is_inexact_array)
        )
    return eqx.apply_updates(fitted, steps), optimizer_state


def filter_scan(
    body: Callable[[Any, Any], tuple[Any, Any]], start: Any, inputs: Any
) -> tuple[Any, Any]:
    """`jax.lax.scan` over a carry that holds modules: what is no array in them stays outside."""
    arrays, static = eqx.partition(start, eqx.is_array)

    def body_on_arrays(arrays, inputs):
        carry, output = body(eqx.combine(arrays, static), inputs)
        return eqx.filter(carry, eqx.is_array), output

    arrays, outputs = jax.lax.scan(body_on_arrays, arrays, inputs)
    return eqx.combine(arrays, static), outputs


def filter_while_loop(
    condition: Callable[[Any], Any], body: Callable[[Any], Any], start: Any
) -> Any:
    """`jax.lax.while_loop` over a carry that holds modules: what is no array in them stays outside."""
    arrays, static = eqx.partition(start, eqx.is_array)
    end = jax.lax.while_loop(
        lambda arrays: condition(eqx.combine(arrays, static)),
        lambda arrays: eqx.filter(body(eqx.combine(arrays, static)), eqx.is_array),
        arrays,
    )
    return eqx.combine(end, static)


def tail_mean(metrics: PyTree) -> PyTree:
    """Means over the end of a phase, where the losses have settled; leaves lead with [updates]."""
    return jax.tree.map(lambda values: jnp.mean(values[-max(1, values.shape[0] // 10) :]), metrics)


def num_parameters(fitted: PyTree) -> int:
    """How many numbers there are to learn: none in a part that is known."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(fitted, eqx.is_inexact_array)))


def copy_arrays(module: Fitted) -> Fitted:
    """The same module in buffers of its own."""
    return jax.tree.map(lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, module)
