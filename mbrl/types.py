"""The vocabulary of every room: names of axes, transitions, action spaces.

Axes, as they appear in the jaxtyping annotations:

    observation   entries of a flat observation vector
    action        entries of an action: none for Discrete, the dimensions of a Box
    features      entries of an action as networks see it: one-hot for Discrete, one-hots in a row for MultiDiscrete, itself for Box
    particles     hypotheses about the state that a world model carries at once, equally many for each member of its ensemble
    members       members of an ensemble
    population    candidate plans that a planner scores together
    horizon       steps of a plan
    batch         transitions of one gradient step
    capacity      places in the replay
"""

import itertools
import math
from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped


class Transition(NamedTuple):
    """One real step. `next_observation` is the last one of its episode where the episode ends, never the reset's.

    `terminated` means that the task ended (no reward can follow); `truncated` that a time limit cut it off, after which
    there would have been more: only the first one teaches a termination model; the second one is kept for the record.
    """

    observation: Float[Array, "*batch observation"]
    action: Shaped[Array, "..."]  # [*batch, *action]
    reward: Float[Array, "*batch"]
    next_observation: Float[Array, "*batch observation"]
    terminated: Bool[Array, "*batch"]
    truncated: Bool[Array, "*batch"]


class AbstractActionSpace(eqx.Module):
    """The set of actions, as everything inside sees it: integers from 0, vectors of them, or vectors in [-1, 1]."""

    @property
    @abstractmethod
    def num_features(self) -> int:
        """Entries of `features`."""

    @property
    @abstractmethod
    def mean_features(self) -> Float[Array, " features"]:
        """The features of a uniformly random action, on average."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Shaped[Array, "*action"]:
        """A uniformly random action."""

    @abstractmethod
    def features(self, action: Shaped[Array, "*action"]) -> Float[Array, " features"]:
        """The action as a vector that a network can read."""

    @abstractmethod
    def from_features(self, features: Float[Array, " features"]) -> Shaped[Array, "*action"]:
        """The action whose features come nearest to a vector of any length and direction."""

    @abstractmethod
    def candidates(
        self, key: PRNGKeyArray, num_actions: int
    ) -> Shaped[Array, "candidates *action"]:
        """Actions to choose among by enumeration: all of them where they are few, else `num_actions` samples."""


class Discrete(AbstractActionSpace):
    """The integers 0, 1, …, num_actions - 1."""

    num_actions: int = eqx.field(static=True)

    @property
    def num_features(self) -> int:
        return self.num_actions

    @property
    def mean_features(self) -> Float[Array, " features"]:
        return jnp.full(self.num_actions, 1.0 / self.num_actions, float)

    def sample(self, key: PRNGKeyArray) -> Int[Array, ""]:
        return jax.random.randint(key, (), 0, self.num_actions)

    def features(self, action: Int[Array, ""]) -> Float[Array, " features"]:
        return jax.nn.one_hot(action, self.num_actions)

    def from_features(self, features: Float[Array, " features"]) -> Int[Array, ""]:
        return jnp.argmax(features)

    def candidates(self, key: PRNGKeyArray, num_actions: int) -> Int[Array, " candidates"]:
        return jnp.arange(self.num_actions)


class MultiDiscrete(AbstractActionSpace):
    """Vectors whose entry i is one of the integers 0, 1, …, sizes[i] - 1; their features are the entries' one-hots in a row."""

    sizes: tuple[int, ...] = eqx.field(static=True)

    @property
    def num_features(self) -> int:
        return sum(self.sizes)

    @property
    def mean_features(self) -> Float[Array, " features"]:
        return jnp.concatenate([jnp.full(size, 1.0 / size, float) for size in self.sizes])

    def sample(self, key: PRNGKeyArray) -> Int[Array, " action"]:
        return jax.random.randint(key, (len(self.sizes),), 0, jnp.array(self.sizes))

    def features(self, action: Int[Array, " action"]) -> Float[Array, " features"]:
        return jnp.concatenate(
            [jax.nn.one_hot(entry, size) for entry, size in zip(action, self.sizes, strict=True)]
        )

    def from_features(self, features: Float[Array, " features"]) -> Int[Array, " action"]:
        ends = list(itertools.accumulate(self.sizes))[:-1]
        return jnp.stack([jnp.argmax(part) for part in jnp.split(features, ends)])

    def candidates(self, key: PRNGKeyArray, num_actions: int) -> Int[Array, "candidates action"]:
        if math.prod(self.sizes) <= MAX_ENUMERATED_ACTIONS:
            return jnp.array(list(itertools.product(*map(range, self.sizes))))
        return jax.vmap(self.sample)(jax.random.split(key, num_actions))


MAX_ENUMERATED_ACTIONS = (
    64  # combinations of a MultiDiscrete's entries, up to which all of them are candidates
)


class Box(AbstractActionSpace):
    """Vectors of `size` entries in [-1, 1]; `envs/gymnasium.py` maps them onto the environment's own bounds."""

    size: int = eqx.field(static=True)

    @property
    def num_features(self) -> int:
        return self.size

    @property
    def mean_features(self) -> Float[Array, " features"]:
        return jnp.zeros(self.size)

    def sample(self, key: PRNGKeyArray) -> Float[Array, " action"]:
        return jax.random.uniform(key, (self.size,), minval=-1.0, maxval=1.0)

    def features(self, action: Float[Array, " action"]) -> Float[Array, " features"]:
        return action

    def from_features(self, features: Float[Array, " features"]) -> Float[Array, " action"]:
        return jnp.clip(features, -1.0, 1.0)

    def candidates(self, key: PRNGKeyArray, num_actions: int) -> Float[Array, "candidates action"]:
        # A Latin hypercube (McKay et al. 1979): each entry has one sample in each of as many equal parts of its range.
        order_key, place_key = jax.random.split(key)
        parts = jnp.broadcast_to(
            jnp.arange(num_actions, dtype=float)[:, None], (num_actions, self.size)
        )
        parts = jax.random.permutation(order_key, parts, axis=0, independent=True)
        places = parts + jax.random.uniform(place_key, (num_actions, self.size))
        return 2.0 * places / num_actions - 1.0
