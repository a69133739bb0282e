"""Split: training sets of the ensemble's members and a common validation set.

The side of a transition depends on its insertion index alone, so it never changes as the replay
buffer grows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mbrl.data.transitions import Transitions
from mbrl.types import Transition

# Cumulative Poisson distribution with mean 1: the limit of how often a transition occurs in a
# bootstrap sample (Oza & Russell 2001).
POISSON_CUMULATIVE = np.cumsum(np.exp(-1) / np.cumprod([1.0, *range(1, 8)])).astype(np.float32)

# Terminations are rare (one per episode) and decide what a plan is worth: they are oversampled to
# about this fraction of the training data.
MIN_TERMINAL_FRACTION = 0.1


class Split(NamedTuple):
    """How often each transition counts in each set, as cumulative counts over the buffer."""

    training: Int[Array, "members capacity"]
    held_out: Int[Array, "1 capacity"]  # the validation set


def split(
    key: PRNGKeyArray,
    data: Transitions,
    num_members: int,
    validation_fraction: float,
    bootstrap: bool,
) -> Split:
    """Splits the transitions at random into a validation set and the members' training sets.

    With `bootstrap` each member has its own resample of the training data, otherwise all members
    share it. Terminal transitions are oversampled up to `MIN_TERMINAL_FRACTION`. A set that would
    be empty holds all transitions instead.
    """
    holdout_key, bootstrap_key = jax.random.split(key)
    insertion_index = data.insertion_index
    held_out = data.valid & (_uniform(holdout_key, insertion_index) < validation_fraction)
    trained = data.valid & ~held_out
    copies = jnp.ones((num_members, data.capacity), jnp.int32)
    if bootstrap:
        member_keys = jax.random.split(bootstrap_key, num_members)
        uniform = jax.vmap(lambda key: _uniform(key, insertion_index))(member_keys)
        # Inverse transform sampling.
        exceeded = uniform[..., None] > POISSON_CUMULATIVE[None, None]
        copies = jnp.sum(exceeded, axis=-1, dtype=jnp.int32)
    copies = jnp.where(trained[None], copies * _oversampling(data)[None], 0)
    return Split(
        _cumulative_counts(copies, data.valid),
        _cumulative_counts(held_out[None].astype(jnp.int32), data.valid),
    )


def sample(
    key: PRNGKeyArray,
    data: Transitions,
    cumulative_counts: Int[Array, "sets capacity"],
    num_samples: int,
) -> Transition:
    """Samples from each set with replacement; leaves lead with [sets, num_samples]."""
    shape = (cumulative_counts.shape[0], num_samples)
    ranks = jax.random.randint(key, shape, 0, cumulative_counts[:, -1:])
    indices = jax.vmap(lambda counts, ranks: jnp.searchsorted(counts, ranks, side="right"))(
        cumulative_counts, ranks
    )
    return jax.tree.map(lambda ring: ring[indices], data.rows)


def _oversampling(data: Transitions) -> Int[Array, " capacity"]:
    """How often each transition counts: more than once only if terminal."""
    terminal = data.valid & data.rows.terminated
    num_terminal = jnp.sum(terminal)
    others = (data.size - num_terminal).astype(float)
    others_per_terminal = others / jnp.maximum(num_terminal, 1).astype(float)
    odds = MIN_TERMINAL_FRACTION / (1 - MIN_TERMINAL_FRACTION)
    repeats = jnp.maximum((odds * others_per_terminal).astype(jnp.int32), 1)
    return jnp.where(terminal, repeats, 1)


def _cumulative_counts(
    copies: Int[Array, "sets capacity"], valid: Bool[Array, " capacity"]
) -> Int[Array, "sets capacity"]:
    """Cumulative sums over the buffer; an empty set counts every valid transition once."""
    empty = jnp.sum(copies, axis=1, keepdims=True) == 0
    return jnp.cumsum(jnp.where(empty, valid[None].astype(copies.dtype), copies), axis=1)


def _uniform(
    key: PRNGKeyArray, insertion_index: Int[Array, " capacity"]
) -> Float[Array, " capacity"]:
    """A uniform random number per transition that depends on its insertion index alone."""
    return jax.vmap(lambda index: jax.random.uniform(jax.random.fold_in(key, index)))(
        insertion_index
    )
