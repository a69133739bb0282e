"""Split: which transitions of the replay each member of an ensemble is trained on, and which are held out from all.

What becomes of a transition is decided once, by its number in the order of collection, so that it never moves from one side
to the other as the replay grows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mbrl.data.replay import ReplayBuffer
from mbrl.types import Transition

# Of a Poisson distribution with mean 1, in which each transition's number of copies in a bootstrap sample ends up (Oza & Russell 2001).
POISSON_CUMULATIVE = np.cumsum(np.exp(-1) / np.cumprod([1.0, *range(1, 8)])).astype(np.float32)

# What ends a task is met once an episode, and decides what a plan is worth: about this share of what is trained on are such steps.
MIN_TERMINAL_FRACTION = 0.1


class Split(NamedTuple):
    """How often each transition stands in each member's training set; and once more for the held-out ones."""

    training: Int[
        Array, "members capacity"
    ]  # running cumulative_counts over the places of the replay
    held_out: Int[Array, "1 capacity"]


def split(
    key: PRNGKeyArray,
    replay: ReplayBuffer,
    num_members: int,
    validation_fraction: float,
    bootstrap: bool,
) -> Split:
    """Holds out a share of the transitions; the others go to each member, as often as its own bootstrap sample has them, or once.

    Steps that end a task are repeated where they are fewer than `MIN_TERMINAL_FRACTION`.
    """
    holdout_key, bootstrap_key = jax.random.split(key)
    insertion_index = replay.insertion_index
    held_out = replay.valid & (_uniform(holdout_key, insertion_index) < validation_fraction)
    trained = replay.valid & ~held_out
    copies = jnp.ones((num_members, replay.capacity), jnp.int32)
    if bootstrap:
        uniform = jax.vmap(lambda key: _uniform(key, insertion_index))(
            jax.random.split(bootstrap_key, num_members)
        )
        copies = jnp.sum(
            uniform[..., None] > POISSON_CUMULATIVE[None, None], axis=-1, dtype=jnp.int32
        )
    copies = jnp.where(trained[None], copies * _oversampling(replay)[None], 0)
    # With few transitions a side may be empty; it then makes do with all there are.
    return Split(
        _cumulative_counts(copies, replay.valid),
        _cumulative_counts(held_out[None].astype(jnp.int32), replay.valid),
    )


def sample(
    key: PRNGKeyArray,
    replay: ReplayBuffer,
    cumulative_counts: Int[Array, "sets capacity"],
    num_draws: int,
) -> Transition:
    """Draws with replacement from each set; each leaf of the result leads with [sets, num_draws]."""
    draws = jax.random.randint(
        key, (cumulative_counts.shape[0], num_draws), 0, cumulative_counts[:, -1:]
    )
    places = jax.vmap(
        lambda cumulative_counts, draws: jnp.searchsorted(cumulative_counts, draws, side="right")
    )(cumulative_counts, draws)
    return jax.tree.map(lambda ring: ring[places], replay.transitions)


def _oversampling(replay: ReplayBuffer) -> Int[Array, " capacity"]:
    """How often each transition counts."""
    ends = replay.valid & replay.transitions.terminated
    num_ends = jnp.sum(ends)
    others_per_end = (replay.size - num_ends).astype(float) / jnp.maximum(num_ends, 1).astype(float)
    return jnp.where(
        ends,
        jnp.maximum(
            (MIN_TERMINAL_FRACTION / (1 - MIN_TERMINAL_FRACTION) * others_per_end).astype(
                jnp.int32
            ),
            1,
        ),
        1,
    )


def _cumulative_counts(
    copies: Int[Array, "sets capacity"], filled: Bool[Array, " capacity"]
) -> Int[Array, "sets capacity"]:
    empty = jnp.sum(copies, axis=1, keepdims=True) == 0
    return jnp.cumsum(jnp.where(empty, filled[None].astype(copies.dtype), copies), axis=1)


def _uniform(
    key: PRNGKeyArray, insertion_index: Int[Array, " capacity"]
) -> Float[Array, " capacity"]:
    return jax.vmap(lambda number: jax.random.uniform(jax.random.fold_in(key, number)))(
        insertion_index
    )
