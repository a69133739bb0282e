"""Memory check: traces a computation, so that a run that cannot fit is refused before it starts."""

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

MIN_ARRAYS = 4  # arrays of the largest size that must fit into memory at the same time


def check_memory(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `function` as shapes and dtypes, without computing it.

    Raises MemoryError if an intermediate array is too large for this machine.
    """
    try:
        traced, shapes, static = eqx.filter_make_jaxpr(function)(*arguments)
    except OverflowError as error:  # JAX cannot count the entries of such an array
        raise MemoryError("an array has more entries than can be counted") from error
    largest = max(jaxpr_avals(traced.jaxpr), key=num_bytes, default=None)
    if largest is not None and num_bytes(largest) > memory() / MIN_ARRAYS:
        raise MemoryError(
            f"an array of shape {largest.shape} would take {num_bytes(largest) / 2**30:.3g} GiB, "
            f"and this machine has {memory() / 2**30:.3g} GiB of memory"
        )
    return eqx.combine(shapes, static)


def jaxpr_avals(program: Jaxpr) -> Iterator[Any]:
    """The shapes and dtypes of all values in a traced program, including loops and inner calls."""
    for equation in program.eqns:
        yield from (variable.aval for variable in equation.outvars)
        parameters = jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda leaf: isinstance(leaf, Jaxpr | ClosedJaxpr),
        )
        for leaf in parameters:
            if isinstance(leaf, Jaxpr | ClosedJaxpr):
                yield from jaxpr_avals(leaf.jaxpr if isinstance(leaf, ClosedJaxpr) else leaf)


def num_bytes(array: Any) -> int:
    """Size of an array, by Python's integers because NumPy's overflow."""
    itemsize = getattr(getattr(array, "dtype", None), "itemsize", 0)
    return math.prod(getattr(array, "shape", ())) * itemsize


def memory() -> int:
    """Bytes of memory of the device, or of the machine if the device does not report them."""
    device = jax.devices()[0].memory_stats() or {}
    return device.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
