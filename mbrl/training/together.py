"""One compiled function, computed for several runs in one call."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from threading import Lock
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from mbrl.training.state import is_key


class Together:
    """Stacks the arguments of `num_rows` runs, calls the vmapped function once, and hands out what is each run's.

    What does not change from one call to the next, such as a model during a phase of collection, is not stacked anew. With
    `on_host` the answers are views of NumPy arrays, PRNG keys aside. Without, they stay on the device, and the buffers of the
    arguments are let go of, as by a function that writes into what it is given.
    """

    def __init__(self, function: Callable[..., Any], num_rows: int, on_host: bool):
        self._function = vmapped(function)
        self._num_rows = num_rows
        self._on_host = on_host
        self._last: dict[
            int, tuple[list, PyTree]
        ] = {}  # by an argument's number: each row's, and all stacked

    def answers(self, rows: Mapping[int, tuple], dispatching: Lock) -> list[Any]:
        """What the function makes of each row's arguments, in the order of `rows`; the first one's stand in for absent rows'.

        All that may be compiled is called under the lock `dispatching`.
        """
        first = next(iter(rows.values()))
        every = [rows.get(row, first) for row in range(self._num_rows)]
        with dispatching:
            stacked = [
                self._stacked(number, list(column))
                for number, column in enumerate(zip(*every, strict=True))
            ]
            if self._on_host:
                outputs = self._function(stacked)
            else:
                _let_go(rows.values())
                outputs = unstack(self._function(stacked), self._num_rows)
        if not self._on_host:
            return [outputs[row] for row in rows]
        outputs = jax.tree.map(_to_host, outputs)
        return [
            jax.tree.map(
                lambda leaf, row=row: leaf[row, ...] if eqx.is_array(leaf) else leaf, outputs
            )
            for row in rows
        ]

    def _stacked(self, number: int, column: list) -> PyTree:
        before, stacked = self._last.get(number, ([], None))
        if len(before) == len(column) and all(
            new is old for new, old in zip(column, before, strict=True)
        ):
            return stacked
        stacked = stack(column)
        if self._on_host and not any(
            _is_on_host(leaf) for leaf in jax.tree.leaves(column)
        ):  # whose contents may change
            self._last[number] = column, stacked
        return stacked


@cache
def vmapped(function: Callable[..., Any]) -> Callable[[list], Any]:
    """A function compiled by `eqx.filter_jit`, for all rows of a list of stacked arguments; it may write into none of them."""

    @eqx.filter_jit
    def of_all_rows(arguments: list) -> Any:
        return eqx.filter_vmap(function.__wrapped__)(*arguments)  # type: ignore[attr-defined]

    return of_all_rows


def stack(column: Sequence[PyTree]) -> PyTree:
    """The trees as one, whose arrays lead with [rows]; what is no array in them is the first one's, since it is the same in all."""
    leaves = jax.tree.leaves(column)
    if all(isinstance(leaf, jax.Array) for leaf in leaves if eqx.is_array(leaf)):
        return (
            _stack_on_device(list(column))
            if any(eqx.is_array(leaf) for leaf in leaves)
            else column[0]
        )
    return jax.tree.map(_stack_on_host, *column)


def _stack_on_host(*same: Any) -> Any:
    """Some of these may be on the device yet, as a planner's state is at the start of an episode."""
    if not eqx.is_array(same[0]):
        return same[0]
    return (
        _stack_on_device(list(same))
        if is_key(same[0])
        else np.stack([np.asarray(leaf) for leaf in same])
    )


@eqx.filter_jit
def _stack_on_device(column: list) -> PyTree:
    return jax.tree.map(
        lambda *same: jnp.stack(same) if eqx.is_array(same[0]) else same[0], *column
    )


@eqx.filter_jit(donate="all")
def unstack(stacked: PyTree, num_rows: int) -> list[PyTree]:
    """What `stack` made one, as many again; in one call, not in one for each array."""
    return [
        jax.tree.map(lambda leaf, row=row: leaf[row] if eqx.is_array(leaf) else leaf, stacked)
        for row in range(num_rows)
    ]


def _let_go(rows) -> None:
    for leaf in jax.tree.leaves(list(rows)):
        if isinstance(leaf, jax.Array):
            leaf.delete()


def _is_on_host(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | np.generic)


def _to_host(leaf: Any) -> Any:
    return np.asarray(leaf) if isinstance(leaf, jax.Array) and not is_key(leaf) else leaf
