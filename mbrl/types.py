"""Shared vocabulary: names of axes, transitions, action spaces.

Axes, as they appear in the jaxtyping annotations:

    observation   entries of a flat observation vector
    action        entries of an action: none for Discrete, one for each dimension otherwise
    features      entries of an action as networks see it: one-hot for Discrete, concatenated
                  one-hots for MultiDiscrete, the action itself for Box
    particles     hypotheses about the state that a world model tracks at once, equally many for
                  each member of its ensemble
    members       members of an ensemble
    population    candidate plans that a planner scores in one iteration
    horizon       steps of a plan
    batch         transitions of one gradient step
    capacity      transitions of the replay buffer's flat view
    envs          parallel environments
    time          time steps of one environment in the replay buffer
    length        time steps of a sequence
"""

import itertools
import math
from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

# Of a number that scales one term of a sum: beyond it, single precision rounds the others away.
MAX_FACTOR = 2**24
MAX_ENUMERATED_ACTIONS = 64  # a space of at most so many has all of them as candidates


class Transition(NamedTuple):
    """One real step. At the end of an episode, `next_observation` is its last one, not the reset's.

    `terminated` means that the task ended, so that no reward can follow. `truncated` means that a
    time limit cut the episode off. Only the first one trains a termination model.
    """

    observation: Float[Array, "*batch observation"]
    action: Shaped[Array, "..."]  # [*batch, *action]
    reward: Float[Array, "*batch"]
    next_observation: Float[Array, "*batch observation"]
    terminated: Bool[Array, "*batch"]
    truncated: Bool[Array, "*batch"]


class AbstractActionSpace(eqx.Module):
    """A set of actions: integers from 0, vectors of them, or vectors in [-1, 1]."""

    @property
    @abstractmethod
    def num_features(self) -> int:
        """Number of entries of `features`."""

    @property
    @abstractmethod
    def mean_features(self) -> Float[Array, " features"]:
        """Mean features of a uniformly random action."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Shaped[Array, "*action"]:
        """A uniformly random action."""

    @abstractmethod
    def features(self, action: Shaped[Array, "*action"]) -> Float[Array, " features"]:
        """The action encoded as a vector for networks."""

    @abstractmethod
    def from_features(self, features: Float[Array, " features"]) -> Shaped[Array, "*action"]:
        """The action whose features are nearest to the given vector, which may be any vector."""

    @abstractmethod
    def candidates(
        self, key: PRNGKeyArray, num_actions: int, max_enumerated: int = MAX_ENUMERATED_ACTIONS
    ) -> Shaped[Array, "candidates *action"]:
        """Actions to choose from: all if they are at most `max_enumerated`, else samples.

        There are `num_actions` samples, or as many as there are actions. They are all different,
        except of a MultiDiscrete with more combinations than MAX_ENUMERATED_ACTIONS.
        """


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

    def candidates(
        self, key: PRNGKeyArray, num_actions: int, max_enumerated: int = MAX_ENUMERATED_ACTIONS
    ) -> Int[Array, " candidates"]:
        actions = jnp.arange(self.num_actions)
        if self.num_actions <= max_enumerated:
            return actions
        return jax.random.permutation(key, actions)[:num_actions]


class MultiDiscrete(AbstractActionSpace):
    """Vectors whose entry i is one of 0, 1, …, sizes[i] - 1; features concatenate the one-hots."""

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
        entries = zip(action, self.sizes, strict=True)
        return jnp.concatenate([jax.nn.one_hot(entry, size) for entry, size in entries])

    def from_features(self, features: Float[Array, " features"]) -> Int[Array, " action"]:
        boundaries = list(itertools.accumulate(self.sizes))[:-1]
        return jnp.stack([jnp.argmax(part) for part in jnp.split(features, boundaries)])

    def candidates(
        self, key: PRNGKeyArray, num_actions: int, max_enumerated: int = MAX_ENUMERATED_ACTIONS
    ) -> Int[Array, "candidates action"]:
        num_combinations = math.prod(self.sizes)
        if num_combinations > MAX_ENUMERATED_ACTIONS:
            return jax.vmap(self.sample)(jax.random.split(key, num_actions))
        actions = jnp.array(list(itertools.product(*map(range, self.sizes))))
        if num_combinations <= max_enumerated:
            return actions
        return jax.random.permutation(key, actions)[:num_actions]


class Box(AbstractActionSpace):
    """Vectors of `size` entries in [-1, 1]; envs/gymnasium.py rescales them to the real bounds."""

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

    def candidates(
        self, key: PRNGKeyArray, num_actions: int, max_enumerated: int = MAX_ENUMERATED_ACTIONS
    ) -> Float[Array, "candidates action"]:
        # Latin hypercube sampling (McKay et al. 1979): in each dimension, one sample in each of
        # `num_actions` equal intervals.
        permutation_key, offset_key = jax.random.split(key)
        shape = (num_actions, self.size)
        intervals = jnp.broadcast_to(jnp.arange(num_actions, dtype=float)[:, None], shape)
        intervals = jax.random.permutation(permutation_key, intervals, axis=0, independent=True)
        samples = intervals + jax.random.uniform(offset_key, shape)
        return 2.0 * samples / num_actions - 1.0
