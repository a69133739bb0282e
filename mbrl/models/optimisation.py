"""Gradient descent on Equinox modules, shared by the model learner and the value learner."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

Module = TypeVar("Module")
Number = float | Float[Array, ""]


class Optimizer(eqx.Module):
    """An optimiser with numbers as arrays, so that runs with other numbers share its program.

    `init` and `update` are those of `factory(**hyperparameters)`.
    """

    factory: Callable[..., optax.GradientTransformation] = eqx.field(static=True)
    hyperparameters: dict[str, Float[Array, ""]]  # the learning rate and the weight decay

    def __init__(
        self,
        factory: Callable[..., optax.GradientTransformation],
        hyperparameters: Mapping[str, float],
    ):
        self.factory = factory
        self.hyperparameters = {
            name: jnp.asarray(value, jnp.float32) for name, value in hyperparameters.items()
        }

    def init(self, parameters: PyTree) -> PyTree:
        return self.factory(**self.hyperparameters).init(parameters)

    def update(
        self, gradient: PyTree, state: PyTree, parameters: PyTree = None
    ) -> tuple[PyTree, PyTree]:
        return self.factory(**self.hyperparameters).update(gradient, state, parameters)


def clipped_adamw(
    learning_rate: Number, weight_decay: Number, max_norm: float, warmup_updates: int
) -> optax.GradientTransformation:
    """AdamW with clipping by global norm and a linear warm-up to a constant `learning_rate`.

    The schedule depends on the number of updates so far, never on the budget of the run.
    """
    if max_norm <= 0:
        raise ValueError(f"optimizer.max_norm={max_norm}: must be positive. Try 1.0.")
    if warmup_updates < 1:
        raise ValueError(
            f"optimizer.warmup_updates={warmup_updates}: must be at least 1. Try 500, or 1 for no "
            "warm-up."
        )
    schedule = optax.warmup_constant_schedule(0.0, learning_rate, warmup_updates)
    return optax.chain(
        optax.clip_by_global_norm(max_norm), optax.adamw(schedule, weight_decay=weight_decay)
    )


def gradient_step(
    optimizer: Optimizer | optax.GradientTransformation,
    optimizer_state: PyTree,
    gradient: PyTree,
    module: Module,
) -> tuple[Module, PyTree]:
    """Applies one gradient step; returns the new module and the new optimiser state."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
        updates, optimizer_state = optimizer.update(
            gradient, optimizer_state, eqx.filter(module, eqx.is_inexact_array)
        )
    return eqx.apply_updates(module, updates), optimizer_state


def filter_scan(
    body: Callable[[Any, Any], tuple[Any, Any]], start: Any, inputs: Any
) -> tuple[Any, Any]:
    """`jax.lax.scan` with a carry that may hold non-arrays, which stay constant."""
    arrays, static = eqx.partition(start, eqx.is_array)

    def body_on_arrays(arrays, inputs):
        carry, output = body(eqx.combine(arrays, static), inputs)
        return eqx.filter(carry, eqx.is_array), output

    arrays, outputs = jax.lax.scan(body_on_arrays, arrays, inputs)
    return eqx.combine(arrays, static), outputs


def filter_while_loop(
    condition: Callable[[Any], Any], body: Callable[[Any], Any], start: Any
) -> Any:
    """`jax.lax.while_loop` with a carry that may hold non-arrays, which stay constant."""
    arrays, static = eqx.partition(start, eqx.is_array)
    end = jax.lax.while_loop(
        lambda arrays: condition(eqx.combine(arrays, static)),
        lambda arrays: eqx.filter(body(eqx.combine(arrays, static)), eqx.is_array),
        arrays,
    )
    return eqx.combine(end, static)


def tail_mean(metrics: PyTree) -> PyTree:
    """Means over the last tenth of the updates; leaves lead with [updates]."""
    return jax.tree.map(lambda values: jnp.mean(values[-max(1, values.shape[0] // 10) :]), metrics)


def num_parameters(module: PyTree) -> int:
    """Number of trainable parameters; 0 where nothing is learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array)))


def copy_arrays(module: Module) -> Module:
    """The same module with its own copies of all arrays."""
    return jax.tree.map(lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, module)
