"""The learned world model: dynamics, reward, termination and value, each an ensemble of the same members."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.data.normaliser import Normaliser, identity_normaliser
from mbrl.models.base import AbstractWorldModel, Prediction
from mbrl.models.dynamics import AbstractDynamics
from mbrl.models.ensemble import init_ensemble, vmap_ensemble
from mbrl.models.propagation import AbstractPropagation
from mbrl.models.reward import AbstractReward
from mbrl.models.risk import AbstractRiskMeasure
from mbrl.models.termination import AbstractTermination
from mbrl.models.value import AbstractValue
from mbrl.types import AbstractActionSpace, Transition


class Components(NamedTuple):
    """What is fitted to real transitions; every leaf leads with [members]."""

    dynamics: AbstractDynamics
    reward: AbstractReward
    termination: AbstractTermination


class WorldModel(AbstractWorldModel):
    """An ensemble whose state is an observation for each particle; `propagation` says how they pass from member to member.

    Reward and termination are predicted from the *predicted* next observation as well, since that is where they show.
    `aggregate` is the mean over members minus `pessimism` standard deviations of their own means: plans that lead where the
    members disagree are marked down, so that a planner does not live on the model's errors, while what is random in the
    world itself (how a member's particles spread) is averaged. `uncertainty_penalty` marks down the steps on the way there, by how much the
    members disagree on what comes next (MOPO, Yu et al. 2020): far from all data their returns may agree, and be wrong.
    """

    components: Components
    value_function: AbstractValue
    normaliser: Normaliser
    action_space: AbstractActionSpace
    propagation: AbstractPropagation
    risk: AbstractRiskMeasure
    bonus: Float[Array, ""]
    use_pessimism: Bool[Array, ""]
    num_members: int = eqx.field(static=True)
    pessimism: float = eqx.field(static=True)  # standard deviations over members
    uncertainty_penalty: float = eqx.field(
        static=True
    )  # reward taken off for full disagreement, in units of a typical reward

    def __init__(
        self,
        dynamics: Callable[..., AbstractDynamics],
        reward: Callable[..., AbstractReward],
        termination: Callable[..., AbstractTermination],
        value: Callable[..., AbstractValue],
        propagation: AbstractPropagation,
        risk: AbstractRiskMeasure,
        observation_size: int,
        action_space: AbstractActionSpace,
        key: PRNGKeyArray,
        num_members: int = 5,
        pessimism: float = 1.0,
        uncertainty_penalty: float = 0.0,
    ):
        if num_members < 1:
            raise ValueError(
                f"model.num_members={num_members} must be at least 1; the default ensemble has 5."
            )
        sizes = {"observation_size": observation_size, "num_features": action_space.num_features}
        dynamics_key, reward_key, termination_key, value_key = jax.random.split(key, 4)
        self.components = Components(
            init_ensemble(dynamics, dynamics_key, num_members, **sizes),
            init_ensemble(reward, reward_key, num_members, **sizes),
            init_ensemble(termination, termination_key, num_members, **sizes),
        )
        self.value_function = init_ensemble(value, value_key, num_members, **sizes)
        self.normaliser = identity_normaliser(observation_size)
        self.action_space = action_space
        self.propagation = propagation
        self.risk = risk
        self.bonus = jnp.zeros(())
        self.use_pessimism = jnp.array(True)
        self.num_members = num_members
        self.pessimism = float(pessimism)
        self.uncertainty_penalty = float(uncertainty_penalty)

    def encode(
        self, key: PRNGKeyArray, observation: Float[Array, " observation"]
    ) -> Float[Array, "particles observation"]:
        return jnp.broadcast_to(
            observation,
            (self.num_members * self.propagation.particles_per_member, *observation.shape),
        )

    def step(
        self,
        key: PRNGKeyArray,
        state: Float[Array, "particles observation"],
        action: Shaped[Array, "*action"],
    ) -> Prediction:
        def predict(components: Components, key, observation):
            mean = components.dynamics.mean(self.normaliser, observation, features)
            if self.propagation.stochastic:
                return components.dynamics.sample(self.normaliser, key, observation, features), mean
            return mean, mean

        def judge(components: Components, observation, next_observation):
            ends = (self.normaliser, observation, features, next_observation)
            continuation = components.termination(*ends)
            return components.reward(*ends, continuation), continuation

        features = self.action_space.features(action)
        deal_key, noise_key = jax.random.split(key)
        dealt = self.propagation.assign(deal_key, state.shape[0])
        guesses, means = self._each_particle(
            predict,
            jax.random.split(noise_key, state.shape[0]),
            state if dealt is None else state[dealt],
        )
        next_state = self.propagation.merge(
            guesses if dealt is None else jnp.zeros_like(state).at[dealt].set(guesses)
        )
        reward, continuation = self._each_particle(judge, state, next_state)
        if self.propagation.stochastic:  # luck has led the particles apart, and members are asked about the same place: the first one's
            places = jnp.broadcast_to(state[0], (self.num_members, *state.shape[1:]))
            means = vmap_ensemble(
                lambda components, place: components.dynamics.mean(
                    self.normaliser, place, features
                ),
                self.components,
                places,
            )
        disagreement = self._disagreement(means)
        penalty = self.uncertainty_penalty * self.normaliser.reward_rms * disagreement
        refund = jnp.where(self.use_pessimism, 0.0, penalty)
        reward = reward - penalty + refund + self.bonus * disagreement
        return Prediction(next_state, reward, continuation, disagreement, penalty - refund)

    def collapse_particles(
        self, key: PRNGKeyArray, state: Float[Array, "particles observation"]
    ) -> Float[Array, "particles observation"]:
        if not self.propagation.stochastic or len(state) == 1:  # they agree already
            return state
        return jnp.broadcast_to(jax.random.choice(key, state), state.shape)

    def value(self, state: Float[Array, "particles observation"]) -> Float[Array, " particles"]:
        return self._each_particle(
            lambda value, observation: value(self.normaliser, observation),
            state,
            of=self.value_function,
        )

    def aggregate(self, estimates: Float[Array, " particles"]) -> Float[Array, ""]:
        members = jnp.mean(self._by_member(estimates), axis=1)
        return jnp.where(
            self.use_pessimism, self.risk(members, self.pessimism), jnp.mean(estimates)
        )

    def _each_particle(
        self, function: Callable[..., Any], *arguments: Any, of: PyTree = None
    ) -> Any:
        """`function(member, *arguments)` for every particle, each with the member that it stands with."""

        def each_of_one(member: PyTree, *arguments: Any):
            return jax.vmap(lambda *arguments: function(member, *arguments))(*arguments)

        members = self.components if of is None else of
        outputs = vmap_ensemble(
            each_of_one,
            members,
            *(jax.tree.map(self._by_member, argument) for argument in arguments),
        )
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outputs)

    def _by_member(
        self, leaf: Shaped[Array, "particles ..."]
    ) -> Shaped[Array, "members share ..."]:
        return leaf.reshape(self.num_members, -1, *leaf.shape[1:])

    def _disagreement(self, predictions: Float[Array, "particles observation"]) -> Float[Array, ""]:
        """Spread of the members' mean predictions in units of the change's own, mean over dimensions, at most 1 each."""
        members = jnp.mean(self._by_member(predictions), axis=1)
        return jnp.mean(jnp.minimum(jnp.std(members, axis=0) / self.normaliser.delta_std, 1.0))

    def with_normaliser(self, normaliser: Normaliser) -> "WorldModel":
        return eqx.tree_at(
            lambda model: model.normaliser,
            self,
            self.components.reward.widen_reward_bounds(normaliser),
        )

    def losses(self, key: PRNGKeyArray, transitions: Transition) -> dict[str, Float[Array, ""]]:
        def losses_of_one(components: Components, transition: Transition):
            action = self.action_space.features(transition.action)
            ends = (self.normaliser, transition.observation, action, transition.next_observation)
            return {
                "loss/dynamics": components.dynamics.loss(*ends),
                "loss/reward": components.reward.loss(
                    *ends, transition.reward, transition.terminated
                ),
                "loss/termination": components.termination.loss(*ends, transition.terminated),
            }

        def losses_of_member(components: Components, batch: Transition):
            return jax.vmap(lambda transition: losses_of_one(components, transition))(batch)

        return jax.tree.map(jnp.mean, vmap_ensemble(losses_of_member, self.components, transitions))
