"""Memory: what a computation needs, found out by tracing it, so that a run that cannot fit is refused before it starts."""

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

SHARE = 4  # the largest array may take one part in so many of the memory: others lie beside it


def check_memory(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns, as shapes, without computing it. Raises MemoryError for arrays that do not fit on this machine."""
    try:
        traced, shapes, static = eqx.filter_make_jaxpr(function)(*arguments)
    except OverflowError as error:  # sizes that JAX itself cannot count
        raise MemoryError("an array has more entries than can be counted") from error
    largest = max(jaxpr_avals(traced.jaxpr), key=num_bytes, default=None)
    if largest is not None and num_bytes(largest) > memory() / SHARE:
        size = f"{num_bytes(largest) / 2**30:.3g} GiB"
        raise MemoryError(
            f"an array of shape {largest.shape} would take {size}, and this machine has {memory() / 2**30:.3g} GiB of memory"
        )
    return eqx.combine(shapes, static)


def jaxpr_avals(program: Jaxpr) -> Iterator[Any]:
    """The shapes and dtypes of all that a traced program makes, in loops too."""
    for equation in program.eqns:
        yield from (variable.aval for variable in equation.outvars)
        inner = jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda leaf: isinstance(leaf, Jaxpr | ClosedJaxpr),
        )
        for leaf in inner:
            if isinstance(leaf, Jaxpr | ClosedJaxpr):
                yield from jaxpr_avals(leaf.jaxpr if isinstance(leaf, ClosedJaxpr) else leaf)


def num_bytes(array: Any) -> int:
    """Python's own product, since NumPy's overflows."""
    return math.prod(getattr(array, "shape", ())) * getattr(
        getattr(array, "dtype", None), "itemsize", 0
    )


def memory() -> int:
    """Bytes of the device's own memory, or else the machine's."""
    device = jax.devices()[0].memory_stats() or {}
    return device.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
