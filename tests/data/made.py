"""Transitions and replay buffers that hold given transitions."""

import equinox as eqx
import jax
import jax.numpy as jnp

from mbrl.data.replay_buffer import ReplayBuffer, TimeStep
from mbrl.data.transitions import Transitions
from mbrl.types import Transition

add = eqx.filter_jit(ReplayBuffer.add)


def all_valid(rows: Transition, capacity: int | None = None) -> Transitions:
    """The flat view of a buffer that holds these transitions, with zeros up to `capacity`."""
    number = len(rows.reward)
    capacity = capacity or number

    def padded(leaf) -> jax.Array:
        leaf = jnp.asarray(leaf)
        return jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype).at[:number].set(leaf)

    return Transitions(jax.tree.map(padded, rows), jnp.array(number), jnp.arange(capacity))


def replay_of(
    rows: Transition, capacity: int | None = None, batch: int | None = None
) -> ReplayBuffer:
    """A buffer of at most `capacity` transitions, to which `rows` were added in batches.

    Each transition is an episode of its own: a time step with an action, and the last one.
    """
    number = len(rows.reward)
    batch = batch or number
    no, yes = jnp.zeros(number, bool), jnp.ones(number, bool)
    flags = (rows.terminated, rows.truncated)
    first = TimeStep(rows.observation, rows.action, rows.reward, *flags, yes, no, {})
    nothing = jax.tree.map(jnp.zeros_like, first)
    last = nothing._replace(observation=rows.next_observation, is_last=yes)

    def in_turn(one, other) -> jax.Array:
        return jnp.stack([one, other], 1).reshape(1, 2 * number, *one.shape[1:])

    steps = jax.tree.map(in_turn, first, last)
    num_slots = 2 * (capacity or number) + 1
    empty = jax.tree.map(lambda leaf: jnp.zeros((1, num_slots, *leaf.shape[2:]), leaf.dtype), steps)
    count = jnp.zeros(1, jnp.int32)
    replay = ReplayBuffer(empty, jnp.zeros((1, num_slots), jnp.int32), count, count)
    for start in range(0, 2 * number, 2 * batch):
        new = jax.tree.map(lambda leaf: leaf[:, start : start + 2 * batch], steps)  # noqa: B023
        present = jax.tree.map(lambda leaf: leaf[:, -1], new.observation)
        replay = add(replay, new, jnp.array([new.reward.shape[1]]), present)
    return replay
