"""Transitions: a flat view of the replay buffer, for models that learn from single steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from mbrl.types import Transition


class Transitions(NamedTuple):
    """All transitions of a replay buffer, in arrays of constant shape.

    The valid ones come first, those of each environment in the order of its buffer.
    """

    rows: Transition  # leaves lead with [capacity]
    size: Int[Array, ""]  # valid ones
    # A number of each that never changes, in the order of collection; arbitrary if not valid.
    insertion_index: Int[Array, " capacity"]

    @property
    def capacity(self) -> int:
        return self.insertion_index.shape[0]

    @property
    def valid(self) -> Bool[Array, " capacity"]:
        return jnp.arange(self.capacity) < self.size

    def sample(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Transition:
        """Uniform samples with replacement; leaves lead with `shape`."""
        indices = jax.random.randint(key, shape, 0, self.size)
        return jax.tree.map(lambda leaf: leaf[indices], self.rows)
