"""Policies: distributions over actions, as a world model gives them for a state."""

import itertools
import math
from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from mbrl.types import MAX_ENUMERATED_ACTIONS, AbstractActionSpace, Box, Discrete, MultiDiscrete

EDGE = 1e-6  # distance from a bound of Box actions up to which their density is computed


class Candidates(NamedTuple):
    """Actions to choose from, and the policy's preference among them."""

    actions: Shaped[Array, "candidates *action"]
    logits: Float[Array, " candidates"]  # equal ones where the actions are samples of the policy


class AbstractActionDistribution(eqx.Module):
    """A distribution over the actions of a space."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Shaped[Array, "*action"]:
        """A random action."""

    @abstractmethod
    def log_prob(self, action: Shaped[Array, "*action"]) -> Float[Array, ""]:
        """The logarithm of an action's probability, or of its density for Box actions."""

    @abstractmethod
    def mode(self) -> Shaped[Array, "*action"]:
        """The most likely action, or the one in the middle for Box actions."""

    @abstractmethod
    def candidates(
        self, key: PRNGKeyArray, num_actions: int, max_enumerated: int = MAX_ENUMERATED_ACTIONS
    ) -> Candidates:
        """All actions if they are at most `max_enumerated`, else `num_actions` samples.

        Of samples, the policy's probabilities are in how often each occurs (Hubert et al. 2021).
        """


class Uniform(AbstractActionDistribution):
    """All actions alike, as where no policy is learned. Its samples differ where they can."""

    action_space: AbstractActionSpace

    def sample(self, key):
        return self.action_space.sample(key)

    def log_prob(self, action):
        if isinstance(self.action_space, Box):
            return jnp.asarray(-self.action_space.size * math.log(2.0))
        sizes = _sizes(self.action_space)
        return jnp.asarray(-sum(map(math.log, sizes)))

    def mode(self):
        return self.action_space.from_features(self.action_space.mean_features)

    def candidates(self, key, num_actions, max_enumerated=MAX_ENUMERATED_ACTIONS):
        actions = self.action_space.candidates(key, num_actions, max_enumerated)
        return Candidates(actions, jnp.zeros(actions.shape[0]))


class Categorical(AbstractActionDistribution):
    """Independent categorical distributions over the entries of Discrete or MultiDiscrete actions.

    `logits` are over the features of an action, and need not be normalised.
    """

    action_space: Discrete | MultiDiscrete
    logits: Float[Array, " features"]

    def sample(self, key):
        # The Gumbel-max trick, for each entry.
        return self.action_space.from_features(
            self.logits + jax.random.gumbel(key, self.logits.shape)
        )

    def log_prob(self, action):
        return jnp.vdot(self.action_space.features(action), self._log_probabilities())

    def mode(self):
        return self.action_space.from_features(self.logits)

    def candidates(self, key, num_actions, max_enumerated=MAX_ENUMERATED_ACTIONS):
        num_combinations = math.prod(_sizes(self.action_space))
        if num_combinations <= min(max_enumerated, MAX_ENUMERATED_ACTIONS):
            actions = self.action_space.candidates(key, num_actions, max_enumerated)
            return Candidates(actions, jax.vmap(self.log_prob)(actions))
        actions = jax.vmap(self.sample)(jax.random.split(key, num_actions))
        return Candidates(actions, jnp.zeros(num_actions))

    def _log_probabilities(self):
        ends = list(itertools.accumulate(_sizes(self.action_space)))
        entries = jnp.split(self.logits, ends[:-1])
        return jnp.concatenate([jax.nn.log_softmax(entry) for entry in entries])


class SquashedGaussian(AbstractActionDistribution):
    """tanh of a Gaussian, for Box actions (Haarnoja et al. 2018, appendix C)."""

    mean: Float[Array, " action"]  # before tanh
    std: Float[Array, " action"]

    def sample(self, key):
        return jnp.tanh(self.mean + self.std * jax.random.normal(key, self.mean.shape))

    def log_prob(self, action):
        unsquashed = jnp.arctanh(jnp.clip(action, -1 + EDGE, 1 - EDGE))
        gaussian = jax.scipy.stats.norm.logpdf(unsquashed, self.mean, self.std)
        # log(1 - tanh(u)²), in a form that does not cancel.
        correction = 2 * (math.log(2.0) - unsquashed - jax.nn.softplus(-2 * unsquashed))
        return jnp.sum(gaussian - correction)

    def mode(self):
        return jnp.tanh(self.mean)

    def candidates(self, key, num_actions, max_enumerated=MAX_ENUMERATED_ACTIONS):
        actions = jax.vmap(self.sample)(jax.random.split(key, num_actions))
        return Candidates(actions, jnp.zeros(num_actions))


def _sizes(action_space: AbstractActionSpace) -> tuple[int, ...]:
    """The number of values of each entry of a Discrete or MultiDiscrete action."""
    if isinstance(action_space, Discrete):
        return (action_space.num_actions,)
    assert isinstance(action_space, MultiDiscrete)
    return action_space.sizes
