"""Reward: prediction of the reward of a step."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mbrl.data.normaliser import Normaliser
from mbrl.models.networks import mlp


class AbstractReward(eqx.Module):
    """One member's reward of a step, in the environment's units, less the reward offset."""

    @abstractmethod
    def __call__(
        self,
        normaliser: Normaliser,
        observation: Float[Array, " observation"],
        action: Float[Array, " features"],
        next_observation: Float[Array, " observation"],
        continuation: Float[Array, ""],
    ) -> Float[Array, ""]:
        """The expected reward, given the probability that the episode continues after the step."""

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
        """Error on a real reward, in normalised units; zero where nothing is learned."""

    @abstractmethod
    def widen_reward_bounds(self, normaliser: Normaliser) -> Normaliser:
        """The normaliser with all rewards that may be predicted inside its reward bounds."""


class LearnedReward(AbstractReward):
    """Network of the whole step with two outputs: the reward of a nonterminal and a terminal step.

    Terminal rewards often have another scale than the others. The terminal output is weighted by
    the predicted probability of termination, so a goal reward is earned once in expectation. A
    single output would pay a part of it in every step that the agent waits beside the goal.
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
        nonterminal, terminal = self._normalised(normaliser, observation, action, next_observation)
        mean = normaliser.reward_mean - normaliser.reward_offset
        nonterminal = mean + normaliser.reward_std * nonterminal
        terminal = normaliser.terminal_reward_mean + normaliser.terminal_reward_std * terminal
        return continuation * nonterminal + (1 - continuation) * terminal

    def loss(self, normaliser, observation, action, next_observation, reward, terminated):
        nonterminal, terminal = self._normalised(normaliser, observation, action, next_observation)
        terminal_error = terminal - normaliser.terminal_reward(reward)
        nonterminal_error = nonterminal - normaliser.reward(reward)
        return jnp.where(terminated, terminal_error, nonterminal_error) ** 2

    def widen_reward_bounds(self, normaliser):
        return normaliser  # a prediction beyond the rewards seen is an error

    def _normalised(self, normaliser, observation, action, next_observation):
        both = [normaliser.observation(observation), normaliser.observation(next_observation)]
        return self.network(jnp.concatenate([*both, action]))


class KnownReward(AbstractReward):
    """The environment's reward: a pure JAX function of the step.

    Its arguments are observation, action features and next observation. `range`, if given, holds
    the smallest and the largest possible reward, so that values can count on a goal that was never
    reached.
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
                "env.known_reward=null: model/reward=known needs the environment's reward "
                "function. Choose an environment that has one (conf/env), implement one, or set "
                "model/reward=learned."
            )
        if range is not None and not (len(range) == 2 and range[0] <= range[1]):
            raise ValueError(
                f"model.reward.range={list(range)}: must be the smallest and the largest possible "
                "reward of a step. Correct env.reward_range, or set it to null if they are unknown."
            )
        self.function = function
        self.range = None if range is None else (float(range[0]), float(range[1]))

    def __call__(self, normaliser, observation, action, next_observation, continuation):
        return self.function(observation, action, next_observation) - normaliser.reward_offset

    def loss(self, normaliser, observation, action, next_observation, reward, terminated):
        return jnp.zeros(())

    def widen_reward_bounds(self, normaliser):
        if self.range is None:
            return normaliser
        low, high = (bound - normaliser.reward_offset for bound in self.range)
        return eqx.tree_at(
            lambda n: (n.reward_min, n.terminal_reward_min, n.reward_max, n.terminal_reward_max),
            normaliser,
            (
                jnp.minimum(normaliser.reward_min, low),
                jnp.minimum(normaliser.terminal_reward_min, low),
                jnp.maximum(normaliser.reward_max, high),
                jnp.maximum(normaliser.terminal_reward_max, high),
            ),
        )
