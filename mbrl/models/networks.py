"""The multilayer perceptron that all learned components use."""

from typing import Literal

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

MAX_DEPTH = 100  # hidden layers


def mlp(
    num_inputs: int, num_outputs: int | Literal["scalar"], width: int, depth: int, key: PRNGKeyArray
) -> eqx.nn.MLP:
    """An MLP of `depth` hidden layers of `width` units, with SiLU as in most models since PETS."""
    if width < 1:
        raise ValueError(f"width={width} of a model's network: must be at least 1. Try 64.")
    if not 1 <= depth <= MAX_DEPTH:
        raise ValueError(
            f"depth={depth} of a model's network: must be from 1 to {MAX_DEPTH}. Try 2."
        )
    return eqx.nn.MLP(num_inputs, num_outputs, width, depth, activation=jax.nn.silu, key=key)
