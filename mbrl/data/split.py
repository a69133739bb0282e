"""Split: which transitions of the replay each member of an ensemble is trained on, and which are held out from all.

What becomes of a transition is decided once, by its number in the order of collection, so that it never moves from one side
to the other as the replay grows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mbrl.data.replay import Replay
from mbrl.types import Transition

# Of a Poisson distribution with mean 1, in which each transition's number of copies in a bootstrap sample ends up (Oza & Russell 2001).
POISSON_CUMULATIVE = np.cumsum(np.exp(-1) / np.cumprod([1.0, *range(1, 8)])).astype(np.float32)

# What ends a task is met once an episode, and decides what a plan is worth: about this share of what is trained on are such steps.
ENDS_SHARE = 0.1


class Split(NamedTuple):
    """How often each transition stands in each member's training set; and once more for the held-out ones."""

    training: Int[Array, "members capacity"]  # running totals over the places of the replay
    held_out: Int[Array, "1 capacity"]


def split(
    key: PRNGKeyArray, replay: Replay, num_members: int, holdout_share: float, bootstrap: bool
) -> Split:
    """Holds out a share of the transitions; the others go to each member, as often as its own bootstrap sample has them, or once.

    Steps that end a task are repeated where they are fewer than `ENDS_SHARE`.
    """
    holdout_key, bootstrap_key = jax.random.split(key)
    numbers = replay.numbers
    held_out = replay.filled & (_uniform(holdout_key, numbers) < holdout_share)
    trained = replay.filled & ~held_out
    copies = jnp.ones((num_members, replay.capacity), jnp.int32)
    if bootstrap:
        uniform = jax.vmap(lambda key: _uniform(key, numbers))(
            jax.random.split(bootstrap_key, num_members)
        )
        copies = jnp.sum(
            uniform[..., None] > POISSON_CUMULATIVE[None, None], axis=-1, dtype=jnp.int32
        )
    copies = jnp.where(trained[None], copies * _repeats(replay)[None], 0)
    # With few transitions a side may be empty; it then makes do with all there are.
    return Split(
        _totals(copies, replay.filled), _totals(held_out[None].astype(jnp.int32), replay.filled)
    )


def sample(
    key: PRNGKeyArray, replay: Replay, totals: Int[Array, "sets capacity"], num_draws: int
) -> Transition:
    """Draws with replacement from each set; each leaf of the result leads with [sets, num_draws]."""
    draws = jax.random.randint(key, (totals.shape[0], num_draws), 0, totals[:, -1:])
    places = jax.vmap(lambda totals, draws: jnp.searchsorted(totals, draws, side="right"))(
        totals, draws
    )
    return jax.tree.map(lambda ring: ring[places], replay.transitions)


def _repeats(replay: Replay) -> Int[Array, " capacity"]:
    """How often each transition counts."""
    ends = replay.filled & replay.transitions.terminated
    num_ends = jnp.sum(ends)
    others_per_end = (replay.size - num_ends).astype(float) / jnp.maximum(num_ends, 1).astype(float)
    return jnp.where(
        ends, jnp.maximum((ENDS_SHARE / (1 - ENDS_SHARE) * others_per_end).astype(jnp.int32), 1), 1
    )


def _totals(
    copies: Int[Array, "sets capacity"], filled: Bool[Array, " capacity"]
) -> Int[Array, "sets capacity"]:
    empty = jnp.sum(copies, axis=1, keepdims=True) == 0
    return jnp.cumsum(jnp.where(empty, filled[None].astype(copies.dtype), copies), axis=1)


def _uniform(key: PRNGKeyArray, numbers: Int[Array, " capacity"]) -> Float[Array, " capacity"]:
    return jax.vmap(lambda number: jax.random.uniform(jax.random.fold_in(key, number)))(numbers)
