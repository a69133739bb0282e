"""The ensemble world model: dynamics, reward, termination and value, each with the same members."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.data.normaliser import Normaliser, identity_normaliser
from mbrl.models.base import AbstractWorldModel, Prediction
from mbrl.models.ensemble.dynamics import AbstractDynamics
from mbrl.models.ensemble.members import init_ensemble, vmap_ensemble
from mbrl.models.ensemble.propagation import AbstractPropagation
from mbrl.models.ensemble.reward import AbstractReward
from mbrl.models.ensemble.termination import AbstractTermination
from mbrl.models.policy import Uniform
from mbrl.models.risk import AbstractRiskMeasure
from mbrl.models.value import AbstractValue
from mbrl.types import MAX_FACTOR, AbstractActionSpace, Transition


class Components(NamedTuple):
    """The components fitted to real transitions; every array leads with [members]."""

    dynamics: AbstractDynamics
    reward: AbstractReward
    termination: AbstractTermination


class WorldModel(AbstractWorldModel):
    """An ensemble whose state is one observation per particle (see `propagation`).

    Reward and termination are predicted from the predicted next observation. `aggregate` averages
    the particles of each member, since their spread is noise of the environment, and lets `risk`
    aggregate the members: plans on which the members disagree score lower, so that a planner does
    not exploit model errors. `uncertainty_penalty` subtracts reward where the members disagree on
    the next observation (MOPO, Yu et al. 2020): far from all data their returns may agree and be
    wrong.

    Predictions have two heads: the `disagreement` of the members on the next observation, from 0
    to 1, and the `penalty` already subtracted from each reward.

    `fit_model.py` fits `components` to real transitions, `fit_value.py` fits `value_function` to
    predicted returns; either may have no parameters. `bonus.py` sets `bonus` and `use_pessimism`,
    so that models with and without a bonus share one compiled program. With a single member they
    have no effect.
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
    # Subtracted reward for full disagreement, in units of a typical reward.
    uncertainty_penalty: float = eqx.field(static=True)

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
            raise ValueError(f"model.num_members={num_members}: must be at least 1. Try 5.")
        factors = {"pessimism": pessimism, "uncertainty_penalty": uncertainty_penalty}
        for name, factor in factors.items():
            if abs(factor) > MAX_FACTOR:
                raise ValueError(
                    f"model.{name}={factor}: must be at most {MAX_FACTOR} in size, since in single "
                    "precision the returns themselves would be rounded away. Try 1."
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

    def initial(self) -> Float[Array, "particles observation"]:
        return self.encode(jnp.zeros_like(self.normaliser.observation_mean))

    def observe(
        self,
        key: PRNGKeyArray,
        belief: Float[Array, "particles observation"],
        action: Shaped[Array, "*action"],
        observation: Float[Array, " observation"],
        is_first: Bool[Array, ""],
    ) -> Float[Array, "particles observation"]:
        return self.encode(observation)

    def encode(
        self, observation: Float[Array, " observation"]
    ) -> Float[Array, "particles observation"]:
        """The state in which all particles are at a real observation."""
        num_particles = self.num_members * self.propagation.particles_per_member
        return jnp.broadcast_to(observation, (num_particles, *observation.shape))

    def step(
        self,
        key: PRNGKeyArray,
        state: Float[Array, "particles observation"],
        action: Shaped[Array, "*action"],
    ) -> Prediction:
        def predict_reward(components: Components, observation, next_observation):
            transition = (self.normaliser, observation, features, next_observation)
            continuation = components.termination(*transition)
            return components.reward(*transition, continuation), continuation

        features = self.action_space.features(action)
        samples, next_state = self._next_observations(key, state, features)
        reward, continuation = self._vmap_particles(
            predict_reward, self.components, state, next_state
        )
        means = self._member_means(state, features) if self.propagation.stochastic else samples
        disagreement = self._disagreement(means)
        penalty = self.uncertainty_penalty * self.normaliser.reward_rms * disagreement
        refund = jnp.where(self.use_pessimism, 0.0, penalty)
        reward = reward - penalty + refund + self.bonus * disagreement
        heads = {"disagreement": disagreement, "penalty": penalty - refund}
        return Prediction(next_state, reward, continuation, heads)

    def _next_observations(
        self,
        key: PRNGKeyArray,
        state: Float[Array, "particles observation"],
        features: Float[Array, " features"],
    ) -> tuple[Float[Array, "particles observation"], Float[Array, "particles observation"]]:
        """The members' predictions, in the order of the members, and the particles' next state."""

        def predict(components: Components, key, observation):
            if self.propagation.stochastic:
                return components.dynamics.sample(self.normaliser, key, observation, features)
            return components.dynamics.mean(self.normaliser, observation, features)

        assign_key, noise_key = jax.random.split(key)
        assignment = self.propagation.assign(assign_key, state.shape[0])
        samples = self._vmap_particles(
            predict,
            self.components,
            jax.random.split(noise_key, state.shape[0]),
            state if assignment is None else state[assignment],
        )
        by_particle = samples
        if assignment is not None:
            by_particle = jnp.zeros_like(state).at[assignment].set(samples)
        return samples, self.propagation.merge(by_particle)

    def _member_means(
        self, state: Float[Array, "particles observation"], features: Float[Array, " features"]
    ) -> Float[Array, "members observation"]:
        """Every member's mean prediction for the first particle.

        Particles spread by sampling, so predictions are comparable only from the same observation.
        """
        observations = jnp.broadcast_to(state[0], (self.num_members, *state.shape[1:]))
        return vmap_ensemble(
            lambda components, observation: components.dynamics.mean(
                self.normaliser, observation, features
            ),
            self.components,
            observations,
        )

    def collapse_particles(
        self, key: PRNGKeyArray, state: Float[Array, "particles observation"]
    ) -> Float[Array, "particles observation"]:
        """Moves all particles to one of them, drawn at random, so that the state has one value."""
        if not self.propagation.stochastic or len(state) == 1:  # all particles are equal
            return state
        return jnp.broadcast_to(jax.random.choice(key, state), state.shape)

    def value(self, state: Float[Array, "particles observation"]) -> Float[Array, " particles"]:
        return self._vmap_particles(
            lambda value, observation: value(self.normaliser, observation),
            self.value_function,
            state,
        )

    def policy(self, state: Float[Array, "particles observation"]) -> Uniform:
        return Uniform(self.action_space)

    def aggregate(self, estimates: Float[Array, " particles"]) -> Float[Array, ""]:
        members = jnp.mean(self._by_member(estimates), axis=1)
        pessimistic = self.risk(members, self.pessimism)
        return jnp.where(self.use_pessimism, pessimistic, jnp.mean(estimates))

    def _vmap_particles(
        self, function: Callable[..., Any], members: PyTree, *arguments: Any
    ) -> Any:
        """`function(member, *arguments)` of every particle, with the member that it starts with."""

        def apply_member(member: PyTree, *arguments: Any):
            return jax.vmap(lambda *arguments: function(member, *arguments))(*arguments)

        grouped = (jax.tree.map(self._by_member, argument) for argument in arguments)
        outputs = vmap_ensemble(apply_member, members, *grouped)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outputs)

    def _by_member(
        self, leaf: Shaped[Array, "particles ..."]
    ) -> Shaped[Array, "members particles_per_member ..."]:
        return leaf.reshape(self.num_members, -1, *leaf.shape[1:])

    def _disagreement(self, predictions: Float[Array, "particles observation"]) -> Float[Array, ""]:
        """Standard deviation of the members' means over that of the change in the data.

        At most 1 in each dimension, averaged over dimensions.
        """
        members = jnp.mean(self._by_member(predictions), axis=1)
        return jnp.mean(jnp.minimum(jnp.std(members, axis=0) / self.normaliser.delta_std, 1.0))

    def return_bounds(self, discount: float) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return self.normaliser.return_bounds(discount)

    def with_normaliser(self, normaliser: Normaliser) -> "WorldModel":
        """The same model with another normaliser."""
        widened = self.components.reward.widen_reward_bounds(normaliser)
        return eqx.tree_at(lambda model: model.normaliser, self, widened)

    def losses(self, key: PRNGKeyArray, transitions: Transition) -> dict[str, Float[Array, ""]]:
        """Losses of `components` by metric name, of which learning minimises the sum.

        Leaves of `transitions` lead with [members, batch].
        """

        def transition_losses(components: Components, transition: Transition):
            features = self.action_space.features(transition.action)
            inputs = (
                self.normaliser,
                transition.observation,
                features,
                transition.next_observation,
            )
            reward, terminated = transition.reward, transition.terminated
            return {
                "loss/dynamics": components.dynamics.loss(*inputs),
                "loss/reward": components.reward.loss(*inputs, reward, terminated),
                "loss/termination": components.termination.loss(*inputs, terminated),
            }

        def member_losses(components: Components, batch: Transition):
            return jax.vmap(lambda transition: transition_losses(components, transition))(batch)

        return jax.tree.map(jnp.mean, vmap_ensemble(member_losses, self.components, transitions))


def with_value(model: WorldModel, value: AbstractValue) -> WorldModel:
    """The model with another value function."""
    return eqx.tree_at(lambda model: model.value_function, model, value)
