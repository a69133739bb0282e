"""The one kind of network that every learned part is made of."""

from typing import Literal

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

DEEPEST = 100  # hidden layers


def mlp(
    num_inputs: int, num_outputs: int | Literal["scalar"], width: int, depth: int, key: PRNGKeyArray
) -> eqx.nn.MLP:
    """`depth` hidden layers of `width` units with the smooth SiLU between them, as most dynamics models since PETS."""
    for name, value in (("width", width), ("depth", depth)):
        if value < 1:
            raise ValueError(
                f"{name}={value} of a model's network must be at least 1; choose 64 and 2, say."
            )
    if depth > DEEPEST:
        raise ValueError(
            f"depth={depth} of a model's network must be at most {DEEPEST}; choose 2, say."
        )
    return eqx.nn.MLP(num_inputs, num_outputs, width, depth, activation=jax.nn.silu, key=key)
