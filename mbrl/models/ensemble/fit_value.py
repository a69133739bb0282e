"""Fitted value iteration inside the learned model.

    V(s) ← max_a aggregate over particles of [ r + γ c V̄(s') ],   clipped to the return bounds

on real states and on the states of random rollouts from them (`random_rollouts.py`), where the
target network V̄ follows V slowly. The model's `aggregate` may be pessimistic about its members, so
that the value does not exploit model errors either.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from mbrl.data.transitions import Transitions
from mbrl.models import rollout
from mbrl.models.base import Metrics
from mbrl.models.ensemble.random_rollouts import random_policy_rollouts
from mbrl.models.ensemble.world_model import WorldModel, with_value
from mbrl.models.optimisation import (
    Optimizer,
    copy_arrays,
    filter_scan,
    gradient_step,
    num_parameters,
    tail_mean,
)
from mbrl.models.value import AbstractValue

STATES_PER_BATCH = 64  # states to predict from at once, so that the arrays fit a processor's cache


class ValueState(NamedTuple):
    """The state of fitting a value between two phases."""

    online: AbstractValue  # after the last gradient step; planners use an average over many
    target: AbstractValue  # target network: a moving average of `online` to bootstrap from
    optimizer_state: PyTree


class ImaginedTransitions(NamedTuple):
    """States, and what the model predicts for some actions in each of them."""

    states: PyTree  # leaves lead with [states]
    next_states: rollout.RolloutState  # leaves lead with [states, actions]
    rewards: Float[Array, "states actions particles"]


class ValueFitter(eqx.Module):
    """Fitted value iteration (Gordon 1995; Ernst et al. 2005) on predicted transitions.

    Does nothing for a model without a learned value.
    """

    optimizer: Optimizer | optax.GradientTransformation
    discount: float = eqx.field(static=True)
    num_updates: int = eqx.field(static=True)  # gradient steps per phase
    batch_size: int = eqx.field(static=True)  # states per gradient step
    num_states: int = eqx.field(static=True)  # real and predicted states per phase
    # Samples to maximise over, where there are more than twice as many actions.
    num_actions: int = eqx.field(static=True)
    rollout_length: int = eqx.field(static=True)  # predicted steps from each real state
    tau: float = eqx.field(static=True)  # step size of the target network towards the value

    def __check_init__(self):
        for name in ("num_updates", "batch_size", "num_states", "num_actions"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"model.fit_value.{name}={getattr(self, name)}: must be at least 1. Raise it."
                )
        if self.rollout_length < 0:
            raise ValueError(
                f"model.fit_value.rollout_length={self.rollout_length}: must be at least 0. Try 20."
            )
        if not 0 < self.tau <= 1:
            raise ValueError(f"model.fit_value.tau={self.tau}: must be in (0, 1]. Try 0.05.")

    def init(self, model: WorldModel) -> ValueState:
        """The state before the first update.

        Raises ValueError for a learned value with a discount whose returns may be infinite.
        """
        if not 0 < self.discount < 1 and num_parameters(model.value_function) > 0:
            raise ValueError(
                f"discount={self.discount}: must be in (0, 1) to learn a value, which would "
                "diverge. Try 0.99, or model/value=none."
            )
        # Copies, because the compiled phases donate their buffers and no buffer can be donated
        # twice.
        parameters = eqx.filter(model.value_function, eqx.is_inexact_array)
        return ValueState(
            online=copy_arrays(model.value_function),
            target=copy_arrays(model.value_function),
            optimizer_state=self.optimizer.init(parameters),
        )

    def __call__(
        self, key: PRNGKeyArray, model: WorldModel, data: Transitions, state: ValueState
    ) -> tuple[AbstractValue, ValueState, Metrics]:
        """One phase of updates; returns the value to plan with, the new state and metrics.

        That value has the mean weights over the second half of the updates (tail averaging; Polyak
        & Juditsky 1992), since the noise of a single minibatch exceeds the differences between
        good and better actions. Metrics are means over the last tenth of the updates.
        """
        if num_parameters(model.value_function) == 0:
            return model.value_function, state, {}

        transitions_key, updates_key = jax.random.split(key)
        transitions = self._imagined_transitions(transitions_key, model, data)

        def update(carry, inputs):
            key, index = inputs
            value, target, average, optimizer_state = carry
            indices = jax.random.randint(key, (self.batch_size,), 0, transitions.rewards.shape[0])
            batch = jax.tree.map(lambda leaf: leaf[indices], transitions)
            targets = self._targets(with_value(model, target), batch)
            (loss, metrics), gradient = eqx.filter_value_and_grad(_loss, has_aux=True)(
                value, model, batch.states, targets
            )
            value, optimizer_state = gradient_step(self.optimizer, optimizer_state, gradient, value)
            num_averaged = jnp.maximum(1, index + 1 - self.num_updates // 2).astype(jnp.float32)
            target = _interpolate(target, value, self.tau)
            average = _interpolate(average, value, 1 / num_averaged)
            return (value, target, average, optimizer_state), {"loss/value": loss} | metrics

        start = (state.online, state.target, state.online, state.optimizer_state)
        inputs = (jax.random.split(updates_key, self.num_updates), jnp.arange(self.num_updates))
        (online, target, average, optimizer_state), metrics = filter_scan(update, start, inputs)
        return average, ValueState(online, target, optimizer_state), tail_mean(metrics)

    def _imagined_transitions(
        self, key: PRNGKeyArray, model: WorldModel, data: Transitions
    ) -> ImaginedTransitions:
        """Predicted transitions from real states and from those of random rollouts."""
        # The second key has no use any more; without it, all results would change.
        start_key, _, rollout_key, step_key = jax.random.split(key, 4)
        num_rollouts = -(-self.num_states // (self.rollout_length + 1))
        observations = data.sample(start_key, (num_rollouts,)).observation
        starts = jax.vmap(model.encode)(observations)
        states = random_policy_rollouts(rollout_key, model, starts, self.rollout_length)

        def transitions_from(inputs) -> ImaginedTransitions:
            key, state = inputs
            actions_key, step_key = jax.random.split(key)
            actions = model.action_space.candidates(
                actions_key, self.num_actions, max_enumerated=2 * self.num_actions
            )
            start = rollout.start(model, state)
            next_states, rewards = jax.vmap(
                lambda action: rollout.step(step_key, model, start, action)
            )(actions)
            return ImaginedTransitions(state, next_states, rewards)

        keys = jax.random.split(step_key, num_rollouts * (self.rollout_length + 1))
        return jax.lax.map(transitions_from, (keys, states), batch_size=STATES_PER_BATCH)

    def _targets(self, model: WorldModel, batch: ImaginedTransitions) -> Float[Array, " batch"]:
        """max_a of the reward plus the discounted value of the next state, in the return bounds."""

        def one_step_return(reward, next_state):
            return rollout.total_return(model, reward, next_state, self.discount, num_steps=1)

        returns = jax.vmap(jax.vmap(one_step_return))(batch.rewards, batch.next_states)
        return jnp.clip(jnp.max(returns, axis=1), *model.return_bounds(self.discount))


def _interpolate(
    value: AbstractValue, target: AbstractValue, fraction: Float[Array, ""] | float
) -> AbstractValue:
    """Moves the weights of `value` towards those of `target` by a fraction of the difference."""
    old, new = (eqx.filter(function, eqx.is_inexact_array) for function in (value, target))
    steps = jax.tree.map(lambda old, new: fraction * (new - old), old, new)
    return eqx.apply_updates(value, steps)


def _loss(value: AbstractValue, model: WorldModel, states: PyTree, targets: Float[Array, " batch"]):
    values = jax.vmap(with_value(model, value).value)(states)
    loss = jnp.mean(((values - targets[:, None]) / model.normaliser.reward_unit) ** 2)
    return loss, {
        "value/mean": jnp.mean(values),
        "value/disagreement": jnp.mean(jnp.std(values, axis=1)),
    }
