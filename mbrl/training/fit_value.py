"""Fitting the value: dynamic programming inside the learned model.

    V(s) ← max_a combine over particles of [ r + γ c V̄(s') ],   clipped to what the rewards seen so far can sum to

on real states and on those of imagined walks from them (`random_rollouts.py`), with V̄ following V slowly. `aggregate` is the
model's: where it is pessimistic over members, the value does not live on the model's errors either.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from mbrl.data.replay import ReplayBuffer
from mbrl.models import rollout
from mbrl.models.base import AbstractWorldModel, with_value
from mbrl.models.value import AbstractValue
from mbrl.training.optimisation import (
    copy_arrays,
    filter_scan,
    gradient_step,
    num_parameters,
    tail_mean,
)
from mbrl.training.random_rollouts import random_policy_rollouts
from mbrl.training.state import ValueState

STEPS_AT_ONCE = 64  # states whose steps are imagined together: as many as a processor's cache holds


class Steps(NamedTuple):
    """States, and where each of some actions leads."""

    states: PyTree  # leaves lead with [states]
    imagined: rollout.RolloutState  # [states, actions]
    rewards: Float[Array, "states actions particles"]


class ValueLearner(eqx.Module):
    """Fitted value iteration (Gordon 1995; Ernst et al. 2005) on imagined steps; nothing to do for a model without a value."""

    optimizer: optax.GradientTransformation = eqx.field(static=True)
    discount: float = eqx.field(static=True)
    num_updates: int = eqx.field(static=True)  # gradient steps a phase
    batch_size: int = eqx.field(static=True)  # states a gradient step
    num_states: int = eqx.field(
        static=True
    )  # to fit a phase, real and imagined; what each action leads to is imagined once
    num_actions: int = eqx.field(static=True)  # sampled actions to maximise over, for Box actions
    rollout_length: int = eqx.field(
        static=True
    )  # imagined steps of a walk from a real state, all of whose states are fitted
    tau: float = eqx.field(static=True)  # share of the way to V that V̄ goes at each gradient step

    def __check_init__(self):
        for name in ("num_updates", "batch_size", "num_states", "num_actions"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"training.value_learner.{name}={getattr(self, name)} must be at least 1; raise it."
                )
        if self.rollout_length < 0:
            raise ValueError(
                f"training.value_learner.rollout_length={self.rollout_length} must not be negative; try 20."
            )
        if not 0 < self.tau <= 1:
            raise ValueError(f"training.value_learner.tau={self.tau} must be in (0, 1]; try 0.05.")

    def init(self, model: AbstractWorldModel) -> ValueState:
        """The state before the first update."""
        if not 0 < self.discount < 1 and num_parameters(model.value_function) > 0:
            raise ValueError(
                f"discount={self.discount} must be in (0, 1), so that a value does not grow without end; try 0.99, or model/value=none."
            )
        # Copies: the compiled phases write into the buffers they are given, and no buffer can be given twice.
        optimizer_state = self.optimizer.init(
            eqx.filter(model.value_function, eqx.is_inexact_array)
        )
        return ValueState(
            copy_arrays(model.value_function), copy_arrays(model.value_function), optimizer_state
        )

    def learn(
        self, key: PRNGKeyArray, model: AbstractWorldModel, replay: ReplayBuffer, state: ValueState
    ) -> tuple[AbstractValue, ValueState, dict[str, Float[Array, ""]]]:
        """A phase of updates of the model's value; its metrics are means over the last tenth.

        Returned is the mean of the weights that the second half of the updates went through (tail averaging; Polyak & Juditsky 1992):
        what a minibatch more or less does to the value is larger than what tells good actions from better ones.
        """
        if num_parameters(model.value_function) == 0:
            return model.value_function, state, {}

        steps_key, updates_key = jax.random.split(key)
        steps = self._imagined_transitions(steps_key, model, replay)

        def update(carry, inputs):
            key, number = inputs
            value, target, average, optimizer_state = carry
            drawn = jax.random.randint(key, (self.batch_size,), 0, steps.rewards.shape[0])
            batch = jax.tree.map(lambda leaf: leaf[drawn], steps)
            targets = self._targets(with_value(model, target), batch)
            (loss, metrics), gradient = eqx.filter_value_and_grad(_loss, has_aux=True)(
                value, model, batch.states, targets
            )
            value, optimizer_state = gradient_step(self.optimizer, optimizer_state, gradient, value)
            num_averaged = jnp.maximum(1, number + 1 - self.num_updates // 2).astype(jnp.float32)
            target, average = (
                _moved(target, value, self.tau),
                _moved(average, value, 1 / num_averaged),
            )
            return (value, target, average, optimizer_state), {"loss/value": loss} | metrics

        start = (state.online, state.target, state.online, state.optimizer_state)
        inputs = (jax.random.split(updates_key, self.num_updates), jnp.arange(self.num_updates))
        (online, target, average, optimizer_state), metrics = filter_scan(update, start, inputs)
        return average, ValueState(online, target, optimizer_state), tail_mean(metrics)

    def _imagined_transitions(
        self, key: PRNGKeyArray, model: AbstractWorldModel, replay: ReplayBuffer
    ) -> Steps:
        """Steps from real states and from those of imagined walks that begin there."""
        start_key, encode_key, walk_key, step_key = jax.random.split(key, 4)
        num_walks = -(-self.num_states // (self.rollout_length + 1))
        observations = replay.sample(start_key, (num_walks,)).observation
        starts = jax.vmap(model.encode)(jax.random.split(encode_key, num_walks), observations)
        states = random_policy_rollouts(walk_key, model, starts, self.rollout_length)

        def steps_from(inputs) -> Steps:
            key, state = inputs
            actions_key, luck_key = jax.random.split(key)
            actions = model.action_space.candidates(actions_key, self.num_actions)
            start = rollout.start_from(model, state)
            return Steps(
                state,
                *jax.vmap(lambda action: rollout.step(luck_key, model, start, action))(actions),
            )

        keys = jax.random.split(step_key, num_walks * (self.rollout_length + 1))
        return jax.lax.map(steps_from, (keys, states), batch_size=STEPS_AT_ONCE)

    def _targets(self, model: AbstractWorldModel, steps: Steps) -> Float[Array, " batch"]:
        """max_a of one step's reward and the discounted value behind it, within what the rewards seen can sum to."""
        returns = jax.vmap(
            jax.vmap(
                lambda earned, imagined: rollout.total_return(
                    model, earned, imagined, self.discount, num_steps=1
                )
            )
        )(steps.rewards, steps.imagined)
        return jnp.clip(jnp.max(returns, axis=1), *model.normaliser.return_bounds(self.discount))


def _moved(
    value: AbstractValue, towards: AbstractValue, share: Float[Array, ""] | float
) -> AbstractValue:
    """The value with its weights a share of the way to another's."""
    old, new = (eqx.filter(function, eqx.is_inexact_array) for function in (value, towards))
    return eqx.apply_updates(value, jax.tree.map(lambda old, new: share * (new - old), old, new))


def _loss(
    value: AbstractValue, model: AbstractWorldModel, states: PyTree, targets: Float[Array, " batch"]
):
    values = jax.vmap(with_value(model, value).value)(states)
    loss = jnp.mean((values - targets[:, None]) ** 2)
    return loss, {
        "value/mean": jnp.mean(values),
        "value/disagreement": jnp.mean(jnp.std(values, axis=1)),
    }
