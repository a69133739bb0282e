"""ReplayBuffer: every transition of the run, on the device, in arrays whose shapes never change."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from mbrl.types import AbstractActionSpace, Transition


class ReplayBuffer(eqx.Module):
    """A ring of `capacity` transitions; the oldest are overwritten once it is full."""

    transitions: Transition  # each leaf leads with [capacity]
    num_added: Int[Array, ""]  # transitions ever added

    @property
    def capacity(self) -> int:
        return self.transitions.reward.shape[0]

    @property
    def size(self) -> Int[Array, ""]:
        return jnp.minimum(self.num_added, self.capacity)

    @property
    def valid(self) -> Bool[Array, " capacity"]:
        """Which places hold a transition."""
        return jnp.arange(self.capacity) < self.size

    @property
    def insertion_index(self) -> Int[Array, " capacity"]:
        """Of the transition in each place, in the order of collection, from 0; a multiple of the capacity is added at each overwriting."""
        places = jnp.arange(self.capacity)
        return places + self.capacity * ((self.num_added - 1 - places) // self.capacity)

    def add(self, transitions: Transition) -> "ReplayBuffer":
        """Writes a batch of consecutive transitions; a batch may not exceed the capacity, or it would overwrite itself."""
        num_new = transitions.reward.shape[0]
        if num_new > self.capacity:
            raise ValueError(
                f"training.replay_capacity={self.capacity} is less than the {num_new} transitions collected at once; raise it."
            )
        places = (self.num_added + jnp.arange(num_new)) % self.capacity
        written = jax.tree.map(
            lambda ring, new: ring.at[places].set(new), self.transitions, transitions
        )
        return ReplayBuffer(written, self.num_added + num_new)

    def sample(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Transition:
        """Uniform draws with replacement; each leaf of the result leads with `shape`."""
        places = jax.random.randint(key, shape, 0, self.size)
        return jax.tree.map(lambda ring: ring[places], self.transitions)

    def to_host(self) -> "HostReplay":
        """What is filled, on the host."""
        size = int(self.size)
        return HostReplay(
            jax.tree.map(lambda ring: np.asarray(ring)[:size], self.transitions),
            np.asarray(self.num_added),
        )

    def from_host(self, saved: "HostReplay") -> "ReplayBuffer":
        """The replay that was saved, in the capacity of this one, whose own transitions are dropped."""

        def refilled(ring, filled):
            return jnp.asarray(
                np.concatenate(
                    [filled, np.zeros((self.capacity - len(filled), *ring.shape[1:]), ring.dtype)]
                )
            )

        return ReplayBuffer(
            jax.tree.map(refilled, self.transitions, saved.transitions),
            jnp.asarray(saved.num_added),
        )


class HostReplay(NamedTuple):
    """A replay in NumPy, without its empty places."""

    transitions: Transition  # each leaf leads with [size]
    num_added: np.ndarray


def init_replay(
    capacity: int, observation_size: int, action_space: AbstractActionSpace
) -> ReplayBuffer:
    """A replay of zeros, with the dtypes and shapes that this environment's transitions have."""
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
