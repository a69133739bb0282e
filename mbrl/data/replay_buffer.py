"""ReplayBuffer: the time steps of a run on the device, in arrays of constant shape.

As in dm_env and Dreamer, an episode of L actions has L + 1 time steps, and each observation is
stored once. The last time step of an episode has an observation, but no action.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

from mbrl.data.transitions import Transitions
from mbrl.types import AbstractActionSpace, Transition


class TimeStep(NamedTuple):
    """An observation, the action taken there, and what followed; see `Transition` for the ends."""

    observation: PyTree  # leaves have the environment's dtypes
    action: Shaped[Array, "..."]  # [*batch, *action]
    reward: Float[Array, "*batch"]
    terminated: Bool[Array, "*batch"]
    truncated: Bool[Array, "*batch"]
    is_first: Bool[Array, "*batch"]
    is_last: Bool[Array, "*batch"]  # action, reward, terminated and truncated are then zero
    extras: dict[str, Array]  # what else a learner wants to keep


class Sequences(NamedTuple):
    """Consecutive time steps, each sequence of one episode."""

    steps: TimeStep  # leaves lead with [batch, length]
    # False after the end of the episode or of the data, where the last time step is repeated.
    valid: Bool[Array, "batch length"]


class ReplayBuffer(eqx.Module):
    """A ring of time steps for each environment; new ones overwrite the oldest.

    The slot after the newest time step holds the observation that its action led to, until the
    next action is known. `insertion_index` is the number of each time step with an action.
    """

    steps: TimeStep  # leaves lead with [envs, time]
    insertion_index: Int[Array, "envs time"]
    num_added: Int[Array, " envs"]  # time steps ever added
    num_transitions: Int[Array, " envs"]  # those of them with an action

    @property
    def num_envs(self) -> int:
        return self.insertion_index.shape[0]

    @property
    def num_slots(self) -> int:
        """Slots of each environment: one more than the time steps that it keeps."""
        return self.insertion_index.shape[1]

    @property
    def size(self) -> Int[Array, " envs"]:
        """Valid time steps of each environment."""
        return jnp.minimum(self.num_added, self.num_slots - 1)

    def add(
        self, steps: TimeStep, num_new: Int[Array, " envs"], observation: PyTree
    ) -> "ReplayBuffer":
        """Adds the first `num_new` of `steps` for each environment, and its present observation.

        Leaves of `steps` lead with [envs, steps], those of `observation` with [envs]. Of more steps
        than there are slots, only the newest are kept.
        """
        order = jnp.arange(steps.reward.shape[1])[None]
        is_kept = (order < num_new[:, None]) & (order > num_new[:, None] - self.num_slots)
        slots = (self.num_added[:, None] + order) % self.num_slots
        slots = jnp.where(is_kept, slots, self.num_slots)  # out of bounds, which `drop` leaves out
        envs = jnp.arange(self.num_envs)
        ring = jax.tree.map(
            lambda ring, new: ring.at[envs[:, None], slots].set(new, mode="drop"), self.steps, steps
        )
        num_added = self.num_added + num_new
        present = jax.tree.map(
            lambda ring, new: ring.at[envs, num_added % self.num_slots].set(new),
            ring.observation,
            observation,
        )
        has_action = (order < num_new[:, None]) & ~steps.is_last
        index = self.num_transitions[:, None] + jnp.cumsum(has_action, axis=1) - 1
        return ReplayBuffer(
            ring._replace(observation=present),
            self.insertion_index.at[envs[:, None], slots].set(index, mode="drop"),
            num_added,
            self.num_transitions + jnp.sum(has_action, axis=1),
        )

    def transitions(self) -> Transitions:
        """The flat view: all time steps with an action, and the observation after each."""
        # Without overflow the slots are in the order of time.
        slot = jnp.arange(self.num_slots)[None]
        valid = slot < self.num_added[:, None]
        is_present = slot == self.num_added[:, None] % self.num_slots
        has_action = (valid & ~is_present & ~self.steps.is_last).T.ravel()
        capacity = self.num_envs * (self.num_slots - 1)
        (flat,) = jnp.nonzero(has_action, size=capacity, fill_value=0)
        slots, envs = jnp.divmod(flat, self.num_envs)
        now = jax.tree.map(lambda leaf: leaf[envs, slots], self.steps)
        following = jax.tree.map(
            lambda leaf: leaf[envs, (slots + 1) % self.num_slots], self.steps.observation
        )
        transitions = Transition(
            now.observation, now.action, now.reward, following, now.terminated, now.truncated
        )
        index = self.insertion_index[envs, slots] * self.num_envs + envs
        return Transitions(transitions, jnp.sum(has_action), index)

    def sample(self, key: PRNGKeyArray, batch_size: int, length: int) -> Sequences:
        """Sequences of time steps from uniformly random starts, none across an episode's end."""
        ends = jnp.cumsum(self.size)
        ranks = jax.random.randint(key, (batch_size,), 0, ends[-1])
        envs = jnp.searchsorted(ends, ranks, side="right")
        starts = ranks - (ends - self.size)[envs]  # in the order of time
        order = starts[:, None] + jnp.arange(length)[None]
        oldest = (self.num_added - self.size)[envs, None]
        slots = (oldest + order) % self.num_slots
        # All that follows a last time step belongs to another episode.
        num_last = self.steps.is_last[envs[:, None], slots].astype(jnp.int32)
        has_ended = jnp.cumsum(num_last, axis=1) > num_last
        valid = (order < self.size[envs, None]) & ~has_ended
        last = jnp.sum(valid, axis=1, keepdims=True) - 1
        inside = jnp.minimum(jnp.arange(length)[None], last)
        slots = jnp.take_along_axis(slots, inside, axis=1)
        return Sequences(jax.tree.map(lambda leaf: leaf[envs[:, None], slots], self.steps), valid)

    def to_host(self) -> "HostReplay":
        """Copies the valid time steps, in the order of time, and the present observations."""
        slots = [
            np.arange(added - size, added + 1) % self.num_slots
            for added, size in zip(np.asarray(self.num_added), np.asarray(self.size), strict=True)
        ]

        def in_order(leaf: Array) -> list[np.ndarray]:
            return [rows[order] for rows, order in zip(np.asarray(leaf), slots, strict=True)]

        return HostReplay(
            jax.tree.map(lambda leaf: np.concatenate(in_order(leaf)), self.steps),
            np.concatenate(in_order(self.insertion_index)),
            np.asarray(self.num_added),
            np.asarray(self.num_transitions),
        )

    def from_host(self, saved: "HostReplay") -> "ReplayBuffer":
        """The saved buffer in slots like those of this one, whose own content is dropped."""
        sizes = np.minimum(saved.num_added, self.num_slots - 1) + 1
        starts = np.cumsum(sizes) - sizes
        envs = np.repeat(np.arange(self.num_envs), sizes)
        order = np.arange(sizes.sum()) - np.repeat(starts, sizes)
        slots = (np.repeat(saved.num_added - sizes + 1, sizes) + order) % self.num_slots

        def place(ring, rows):
            placed = np.zeros(ring.shape, ring.dtype)
            placed[envs, slots] = rows
            return jnp.asarray(placed)

        return ReplayBuffer(
            jax.tree.map(place, self.steps, saved.steps),
            place(self.insertion_index, saved.insertion_index),
            jnp.asarray(saved.num_added),
            jnp.asarray(saved.num_transitions),
        )


class HostReplay(NamedTuple):
    """The valid time steps and present observations, those of one environment after the other."""

    steps: TimeStep  # leaves lead with [rows]
    insertion_index: np.ndarray
    num_added: np.ndarray
    num_transitions: np.ndarray


def init_replay(
    capacity: int,
    observation: PyTree,
    action_space: AbstractActionSpace,
    num_envs: int = 1,
    extras: dict[str, jax.ShapeDtypeStruct] | None = None,
) -> ReplayBuffer:
    """An empty replay buffer for `capacity` time steps over all environments.

    `observation` has the shapes and dtypes of one, as arrays or `jax.ShapeDtypeStruct`s.
    """
    num_slots = -(-capacity // num_envs) + 1

    def empty(spec) -> Array:
        return jnp.zeros((num_envs, num_slots, *spec.shape), spec.dtype)

    action = jax.eval_shape(action_space.sample, jax.random.key(0))
    reward, flag = (jax.ShapeDtypeStruct((), dtype) for dtype in (jnp.float32, bool))
    specs: Any = (observation, action, reward, flag, flag, flag, flag, extras or {})
    counts = jnp.zeros(num_envs, jnp.int32)
    return ReplayBuffer(
        jax.tree.map(empty, TimeStep(*specs)),
        jnp.zeros((num_envs, num_slots), jnp.int32),
        counts,
        counts.copy(),
    )
