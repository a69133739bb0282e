"""Reward: what a step yields."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mbrl.data.normaliser import Normaliser
from mbrl.models.networks import mlp


class AbstractReward(eqx.Module):
    """One member's reward of a step, in the environment's units."""

    @abstractmethod
    def __call__(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
        continuation: Float[Array, ""],
    ) -> Float[Array, ""]:
        """The expected reward of the step, with the probability that the task goes on after it."""

    @abstractmethod
    def loss(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
        reward: Float[Array, ""],
        terminated: Bool[Array, ""],
    ) -> Float[Array, ""]:
        """How badly a real reward was predicted, in normalised units; zero where nothing is learned."""

    @abstractmethod
    def widen_reward_bounds(self, normaliser: Normaliser) -> Normaliser:
        """The normaliser with the range of rewards that imagination may meet, by which values are scaled and bounded."""


class LearnedReward(AbstractReward):
    """A network of the step's two ends and its action, with one output for steps that the task goes on after and one for its last.

    Most rewards are a function of where the step led, and the last one is often of another size. What ends the task is thus earned
    as often as it is believed to end, once in all: no imagined agent stands before the goal and is paid for it at every step.
    """

    network: eqx.nn.MLP

    def __init__(
        self,
        observation_size: int,
        num_features: int,
        key: PRNGKeyArray,
        width: int = 64,
        depth: int = 1,
    ):
        self.network = mlp(2 * observation_size + num_features, 2, width, depth, key)

    def __call__(self, normaliser, observation, action, next_observation, continuation):
        going_on, last = self._normalised(normaliser, observation, action, next_observation)
        going_on = normaliser.reward_mean + normaliser.reward_std * going_on
        last = normaliser.terminal_reward_mean + normaliser.terminal_reward_std * last
        return continuation * going_on + (1 - continuation) * last

    def loss(self, normaliser, observation, action, next_observation, reward, terminated):
        going_on, last = self._normalised(normaliser, observation, action, next_observation)
        return (
            jnp.where(
                terminated,
                last - normaliser.terminal_reward(reward),
                going_on - normaliser.reward(reward),
            )
            ** 2
        )

    def widen_reward_bounds(self, normaliser):
        return normaliser  # what has never been seen is no prediction, but an error

    def _normalised(self, normaliser, observation, action, next_observation):
        ends = [normaliser.observation(observation), normaliser.observation(next_observation)]
        return self.network(jnp.concatenate([*ends, action]))


class KnownReward(AbstractReward):
    """A pure JAX function of (observation, action features, next observation), where the reward is no secret.

    `range`, where given, is the least and the most that it can be: so a value can count on a goal before it was ever reached.
    """

    function: Callable[[Array, Array, Array], Array] = eqx.field(static=True)
    range: tuple[float, float] | None = eqx.field(static=True)  # units of reward

    def __init__(
        self,
        function: Callable[[Array, Array, Array], Array] | None,
        range: Sequence[float] | None = None,
        observation_size: int = 0,
        num_features: int = 0,
        key: PRNGKeyArray | None = None,
    ):
        if function is None:
            raise ValueError(
                "model/reward=known needs the environment's reward function, and env.known_reward is null here: "
                "choose an environment that has one (conf/env), write one, or learn it: model/reward=learned."
            )
        if range is not None and not (len(range) == 2 and range[0] <= range[1]):
            raise ValueError(
                f"model.reward.range={list(range)} must be two numbers, the least and the most that a step can earn: "
                "mend env.reward_range, or say null where they are not known."
            )
        self.function = function
        self.range = None if range is None else (float(range[0]), float(range[1]))

    def widen_reward_bounds(self, normaliser):
        if self.range is None:
            return normaliser
        low, high = self.range
        widest = [
            jnp.minimum(each, low)
            for each in (normaliser.reward_min, normaliser.terminal_reward_min)
        ]
        widest += [
            jnp.maximum(each, high)
            for each in (normaliser.reward_max, normaliser.terminal_reward_max)
        ]
        return eqx.tree_at(
            lambda n: (n.reward_min, n.terminal_reward_min, n.reward_max, n.terminal_reward_max),
            normaliser,
            tuple(widest),
        )

    def __call__(self, normaliser, observation, action, next_observation, continuation):
        return self.function(observation, action, next_observation)

    def loss(self, normaliser, observation, action, next_observation, reward, terminated):
        return jnp.zeros(())
