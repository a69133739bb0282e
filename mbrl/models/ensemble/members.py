"""Ensembles: one module whose arrays have a leading axis of members."""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray, PyTree

Member = TypeVar("Member", bound=eqx.Module)


def init_ensemble(
    make: Callable[..., Member], key: PRNGKeyArray, num_members: int, **sizes: Any
) -> Member:
    """Stacks `num_members` independently initialised modules; apply with `vmap_ensemble`."""
    return eqx.filter_vmap(lambda key: make(key=key, **sizes))(jax.random.split(key, num_members))


def vmap_ensemble(function: Callable[..., Any], members: PyTree, *arguments: Any) -> Any:
    """`function(member, *arguments)` of every member; leaves of arguments lead with [members]."""
    return eqx.filter_vmap(function, in_axes=(eqx.if_array(0), *(0 for _ in arguments)))(
        members, *arguments
    )
