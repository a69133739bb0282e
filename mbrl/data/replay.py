"""ReplayBuffer: the run's transitions on the device, in arrays of constant shape."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from mbrl.types import AbstractActionSpace, Transition


class ReplayBuffer(eqx.Module):
    """A ring buffer of `capacity` transitions; once full, new ones overwrite the oldest."""

    transitions: Transition  # leaves lead with [capacity]
    num_added: Int[Array, ""]  # transitions ever added

    @property
    def capacity(self) -> int:
        return self.transitions.reward.shape[0]

    @property
    def size(self) -> Int[Array, ""]:
        return jnp.minimum(self.num_added, self.capacity)

    @property
    def valid(self) -> Bool[Array, " capacity"]:
        """Which indices hold a transition."""
        return jnp.arange(self.capacity) < self.size

    @property
    def insertion_index(self) -> Int[Array, " capacity"]:
        """How many transitions were added before the one at each index; arbitrary if not valid."""
        indices = jnp.arange(self.capacity)
        return indices + self.capacity * ((self.num_added - 1 - indices) // self.capacity)

    def add(self, transitions: Transition) -> "ReplayBuffer":
        """Adds a batch of consecutive transitions; leaves lead with [batch].

        Raises ValueError if the batch exceeds the capacity.
        """
        num_new = transitions.reward.shape[0]
        if num_new > self.capacity:
            raise ValueError(
                f"training.replay_capacity={self.capacity}: must be at least {num_new}, the "
                "transitions collected between two phases of learning. Raise it."
            )
        indices = (self.num_added + jnp.arange(num_new)) % self.capacity
        updated = jax.tree.map(
            lambda ring, new: ring.at[indices].set(new), self.transitions, transitions
        )
        return ReplayBuffer(updated, self.num_added + num_new)

    def sample(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Transition:
        """Uniform samples with replacement; leaves lead with `shape`."""
        indices = jax.random.randint(key, shape, 0, self.size)
        return jax.tree.map(lambda ring: ring[indices], self.transitions)

    def to_host(self) -> "HostReplay":
        """Copies the valid transitions to the host."""
        size = int(self.size)
        return HostReplay(
            jax.tree.map(lambda ring: np.asarray(ring)[:size], self.transitions),
            np.asarray(self.num_added),
        )

    def from_host(self, saved: "HostReplay") -> "ReplayBuffer":
        """The saved buffer with the capacity of this one, whose own transitions are dropped."""

        def pad(ring, rows):
            padding = np.zeros((self.capacity - len(rows), *ring.shape[1:]), ring.dtype)
            return jnp.asarray(np.concatenate([rows, padding]))

        transitions = jax.tree.map(pad, self.transitions, saved.transitions)
        return ReplayBuffer(transitions, jnp.asarray(saved.num_added))


class HostReplay(NamedTuple):
    """The valid transitions of a replay buffer as NumPy arrays."""

    transitions: Transition  # leaves lead with [size]
    num_added: np.ndarray


def init_replay(
    capacity: int, observation_size: int, action_space: AbstractActionSpace
) -> ReplayBuffer:
    """An empty replay buffer with the dtypes and shapes of the environment's transitions."""
    observations = jnp.zeros((capacity, observation_size))
    action = jax.eval_shape(action_space.sample, jax.random.key(0))
    return ReplayBuffer(
        Transition(
            observation=observations,
            action=jnp.zeros((capacity, *action.shape), action.dtype),
            reward=jnp.zeros(capacity),
            next_observation=jnp.zeros_like(observations),
            terminated=jnp.zeros(capacity, bool),
            truncated=jnp.zeros(capacity, bool),
        ),
        jnp.zeros((), jnp.int32),
    )
