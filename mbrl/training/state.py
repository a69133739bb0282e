"""TrainState: everything that the phases of the loop read and write on the device."""

from typing import Any, NamedTuple

import jax
from jaxtyping import PRNGKeyArray, PyTree

from mbrl.data.replay_buffer import ReplayBuffer


class TrainState(NamedTuple):
    """What one run has learned and collected."""

    key: PRNGKeyArray  # the root key (`randomness.py`), which never changes
    learner: PyTree  # the learner's state
    replay: ReplayBuffer


def is_key(leaf: Any) -> bool:
    """Whether the leaf is a typed PRNG key, which NumPy cannot hold."""
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
