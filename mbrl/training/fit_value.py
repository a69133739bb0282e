"""Fitting the value: dynamic programming inside the learned model.

    V(s) ← max_a combine over particles of [ r + γ c V̄(s') ],   clipped to what the rewards seen so far can sum to

on real states and on those of imagined walks from them (`wander.py`), with V̄ following V slowly. `combine` is the
model's: where it is pessimistic over members, the value does not live on the model's errors either.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from mbrl.data.replay import Replay
from mbrl.models import imagine
from mbrl.models.base import AbstractWorldModel
from mbrl.models.value import AbstractValue
from mbrl.training.descent import copied, descend, last_tenth, num_parameters, scan_modules
from mbrl.training.state import ValueState
from mbrl.training.wander import wander


class ValueLearner(eqx.Module):
    """Fitted value iteration (Gordon 1995; Ernst et al. 2005) on imagined steps; nothing to do for a model without a value."""

    optimizer: optax.GradientTransformation = eqx.field(static=True)
    discount: float = eqx.field(static=True)
    num_updates: int = eqx.field(static=True)  # gradient steps a phase
    batch_size: int = eqx.field(static=True)  # states a gradient step
    num_actions: int = eqx.field(static=True)  # sampled actions to maximise over, for Box actions
    walk_steps: int = eqx.field(static=True)  # imagined steps of a walk from a real state, all of whose states are fitted
    target_rate: float = eqx.field(static=True)  # share of the way to V that V̄ goes at each gradient step

    def __check_init__(self):
        for name in ("num_updates", "batch_size", "num_actions"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.value_learner.{name}={getattr(self, name)} must be at least 1; raise it.")
        if self.walk_steps < 0:
            raise ValueError(f"training.value_learner.walk_steps={self.walk_steps} must not be negative; try 10.")
        if not 0 < self.target_rate <= 1:
            raise ValueError(f"training.value_learner.target_rate={self.target_rate} must be in (0, 1]; try 0.05.")

    def init(self, model: AbstractWorldModel) -> ValueState:
        """The state before the first update."""
        if not 0 < self.discount < 1 and num_parameters(model.value_function) > 0:
            raise ValueError(
                f"discount={self.discount} must be in (0, 1), so that a value does not grow without end; try 0.99, or model/value=none."
            )
        # A copy: the compiled phases write into the buffers they are given, and no buffer can be given twice.
        return ValueState(copied(model.value_function), self.optimizer.init(eqx.filter(model.value_function, eqx.is_inexact_array)))

    def learn(
        self, key: PRNGKeyArray, model: AbstractWorldModel, replay: Replay, state: ValueState
    ) -> tuple[AbstractValue, ValueState, dict[str, Float[Array, ""]]]:
        """A phase of updates of the model's value; its metrics are means over the last tenth."""
        if num_parameters(model.value_function) == 0:
            return model.value_function, state, {}

        states_key, updates_key = jax.random.split(key)
        states = self._states_around_the_data(states_key, model, replay)

        def update(carry, key):
            value, target, optimizer_state = carry
            batch, targets = self._regression_problem(key, model, states, target)
            (loss, metrics), gradient = eqx.filter_value_and_grad(_loss, has_aux=True)(value, model, batch, targets)
            value, optimizer_state = descend(self.optimizer, optimizer_state, gradient, value)
            target = eqx.apply_updates(target, self._towards(value, target))
            return (value, target, optimizer_state), {"loss/value": loss} | metrics

        start = (model.value_function, state.target, state.optimizer_state)
        (value, target, optimizer_state), metrics = scan_modules(update, start, jax.random.split(updates_key, self.num_updates))
        return value, ValueState(target, optimizer_state), last_tenth(metrics)

    def _states_around_the_data(self, key: PRNGKeyArray, model: AbstractWorldModel, replay: Replay) -> PyTree:
        """Real states and those of imagined walks from them, about as many as the phase will draw; leaves lead with [states]."""
        start_key, encode_key, walk_key = jax.random.split(key, 3)
        num_walks = -(-self.num_updates * self.batch_size // (self.walk_steps + 1))
        observations = replay.sample(start_key, (num_walks,)).observation
        starts = jax.vmap(model.encode)(jax.random.split(encode_key, num_walks), observations)
        return wander(walk_key, model, starts, self.walk_steps)

    def _regression_problem(self, key: PRNGKeyArray, model: AbstractWorldModel, states: PyTree, target: AbstractValue):
        """A batch of states, and what their values should be."""
        batch_key, target_key = jax.random.split(key)
        num_states = jax.tree.leaves(states)[0].shape[0]
        drawn = jax.random.randint(batch_key, (self.batch_size,), 0, num_states)
        batch = jax.tree.map(lambda leaf: leaf[drawn], states)
        bootstrap = with_value(model, target)
        best_return = jax.vmap(lambda key, state: self._best_return(key, bootstrap, state))
        targets = best_return(jax.random.split(target_key, self.batch_size), batch)
        low = jnp.minimum(0.0, model.normaliser.reward_min) / (1 - self.discount)
        high = jnp.maximum(0.0, model.normaliser.reward_max) / (1 - self.discount)
        return batch, jnp.clip(targets, low, high)

    def _best_return(self, key: PRNGKeyArray, model: AbstractWorldModel, state: PyTree) -> Float[Array, ""]:
        """max_a of one step's reward and the discounted value behind it."""
        actions_key, step_key = jax.random.split(key)
        start = imagine.begin_at(model, state)
        actions = model.action_space.candidates(actions_key, self.num_actions)
        return jnp.max(jax.vmap(lambda action: imagine.score(step_key, model, start, action[None], self.discount))(actions))

    def _towards(self, value: AbstractValue, target: AbstractValue) -> PyTree:
        new, old = (eqx.filter(function, eqx.is_inexact_array) for function in (value, target))
        return jax.tree.map(lambda new, old: self.target_rate * (new - old), new, old)


def _loss(value: AbstractValue, model: AbstractWorldModel, states: PyTree, targets: Float[Array, " batch"]):
    values = jax.vmap(with_value(model, value).value)(states)
    loss = jnp.mean((values - targets[:, None]) ** 2)
    return loss, {"value/mean": jnp.mean(values), "value/disagreement": jnp.mean(jnp.std(values, axis=1))}


def with_value(model: AbstractWorldModel, value: AbstractValue) -> AbstractWorldModel:
    """The model with another value function."""
    return eqx.tree_at(lambda model: model.value_function, model, value)
