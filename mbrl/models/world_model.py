"""The learned world model: dynamics, reward, termination and value, each an ensemble of the same members."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from mbrl.data.normaliser import Normaliser, identity_normaliser
from mbrl.models.base import AbstractWorldModel, Prediction
from mbrl.models.dynamics import AbstractDynamics
from mbrl.models.ensemble import each_member, members_of
from mbrl.models.reward import AbstractReward
from mbrl.models.termination import AbstractTermination
from mbrl.models.value import AbstractValue
from mbrl.types import AbstractActionSpace, Transition


class Parts(NamedTuple):
    """What is fitted to real transitions; every leaf leads with [members]."""

    dynamics: AbstractDynamics
    reward: AbstractReward
    termination: AbstractTermination


class WorldModel(AbstractWorldModel):
    """An ensemble whose state is one observation a member; after each step the members agree on their mean.

    Reward and termination are predicted from the *predicted* next observation as well, since that is where they show.
    `combine` is the mean over members minus `pessimism` standard deviations: plans that lead where the members disagree
    are marked down, so that a planner does not live on the model's errors.
    """

    parts: Parts
    value_function: AbstractValue
    normaliser: Normaliser
    action_space: AbstractActionSpace
    num_members: int = eqx.field(static=True)
    pessimism: float = eqx.field(static=True)  # standard deviations over members

    def __init__(
        self,
        dynamics: Callable[..., AbstractDynamics],
        reward: Callable[..., AbstractReward],
        termination: Callable[..., AbstractTermination],
        value: Callable[..., AbstractValue],
        observation_size: int,
        action_space: AbstractActionSpace,
        key: PRNGKeyArray,
        num_members: int = 5,
        pessimism: float = 1.0,
    ):
        if num_members < 1:
            raise ValueError(f"model.num_members={num_members} must be at least 1; the default ensemble has 5.")
        sizes = {"observation_size": observation_size, "num_features": action_space.num_features}
        dynamics_key, reward_key, termination_key, value_key = jax.random.split(key, 4)
        self.parts = Parts(
            members_of(dynamics, dynamics_key, num_members, **sizes),
            members_of(reward, reward_key, num_members, **sizes),
            members_of(termination, termination_key, num_members, **sizes),
        )
        self.value_function = members_of(value, value_key, num_members, **sizes)
        self.normaliser = identity_normaliser(observation_size)
        self.action_space = action_space
        self.num_members = num_members
        self.pessimism = float(pessimism)

    def encode(self, key: PRNGKeyArray, observation: Float[Array, " observation"]) -> Float[Array, "particles observation"]:
        return jnp.broadcast_to(observation, (self.num_members, *observation.shape))

    def step(self, key: PRNGKeyArray, state: Float[Array, "particles observation"], action: Shaped[Array, "*action"]) -> Prediction:
        def predict(parts: Parts, key, observation):
            return parts.dynamics(self.normaliser, key, observation, features)

        def judge(parts: Parts, observation, next_observation):
            ends = (self.normaliser, observation, features, next_observation)
            return parts.reward(*ends), parts.termination(*ends)

        features = self.action_space.features(action)
        guesses = each_member(predict, self.parts, jax.random.split(key, self.num_members), state)
        next_state = jnp.broadcast_to(jnp.mean(guesses, axis=0), state.shape)
        return Prediction(next_state, *each_member(judge, self.parts, state, next_state))

    def value(self, state: Float[Array, "particles observation"]) -> Float[Array, " particles"]:
        return each_member(lambda value, observation: value(self.normaliser, observation), self.value_function, state)

    def combine(self, estimates: Float[Array, " particles"]) -> Float[Array, ""]:
        return jnp.mean(estimates) - self.pessimism * jnp.std(estimates)

    def normalised(self, normaliser: Normaliser) -> "WorldModel":
        return eqx.tree_at(lambda model: model.normaliser, self, normaliser)

    def losses(self, key: PRNGKeyArray, transitions: Transition) -> dict[str, Float[Array, ""]]:
        def losses_of_one(parts: Parts, transition: Transition):
            action = self.action_space.features(transition.action)
            ends = (self.normaliser, transition.observation, action, transition.next_observation)
            return {
                "loss/dynamics": parts.dynamics.loss(*ends),
                "loss/reward": parts.reward.loss(*ends, transition.reward),
                "loss/termination": parts.termination.loss(*ends, transition.terminated),
            }

        def losses_of_member(parts: Parts, batch: Transition):
            return jax.vmap(lambda transition: losses_of_one(parts, transition))(batch)

        return jax.tree.map(jnp.mean, each_member(losses_of_member, self.parts, transitions))
