"""Compiling in a hurry: for tests that compile much, compute little, and look at no last digits."""

from collections.abc import Callable
from functools import cache

import equinox as eqx
import jax

WITHOUT_OPTIMISATION = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


def quick_jit(function: Callable) -> Callable:
    """`eqx.filter_jit`, but compiled several times faster, to slower programs."""
    return eqx.filter_jit(function, compiler_options=_known_options())


@cache
def _known_options() -> dict[str, int | bool]:
    """XLA's switches come and go with its releases."""
    return {name: value for name, value in WITHOUT_OPTIMISATION.items() if _is_known({name: value})}


def _is_known(option: dict[str, int | bool]) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=option)()
    except jax.errors.JaxRuntimeError:
        return False
    return True
