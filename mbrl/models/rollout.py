"""Rollouts: the only code that unrolls a world model.

The return of a plan from state s₀, for each particle, over actions a₀ … a_{H-1}:

    G = Σ_{t<H} γᵗ Sₜ rₜ + γᴴ S_H V(s_H),    S₀ = 1,  S_{t+1} = Sₜ cₜ

where c is the continuation, so that S is the probability of having survived. Weighting by survival
matters: without it a plan that drops the pole scores like one that holds it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.models.base import AbstractWorldModel

AFTER_STEP = 2  # fold_in id of the third key of a step, beside the two that it is split into


class RolloutState(NamedTuple):
    """The state of a rollout between two steps."""

    state: PyTree
    survival: Float[Array, " particles"]  # probability that the episode has not ended


def start(model: AbstractWorldModel, state: PyTree) -> RolloutState:
    """Starts a rollout at a belief, or another state of the model."""
    num_particles = jax.eval_shape(model.value, state).shape
    return RolloutState(state, jnp.ones(num_particles))


def step(
    key: PRNGKeyArray,
    model: AbstractWorldModel,
    current: RolloutState,
    action: Shaped[Array, "*action"],
) -> tuple[RolloutState, Float[Array, " particles"]]:
    """Takes one step; returns the next state and the reward weighted by survival."""
    prediction = model.step(key, current.state, action)
    reward = _weight_by_survival(current.survival, prediction.reward)
    survival = _weight_by_survival(current.survival, prediction.continuation)
    return RolloutState(prediction.state, survival), reward


def bootstrap_value(
    model: AbstractWorldModel, current: RolloutState, discount: float
) -> Float[Array, " particles"]:
    """The value of the current state, weighted by survival.

    Capped at the largest possible return: values extrapolated far from the data would otherwise
    attract plans.
    """
    value = model.value(current.state)
    if discount < 1:
        value = jnp.minimum(value, model.return_bounds(discount)[1])
    return _weight_by_survival(current.survival, value)


def _weight_by_survival(
    survival: Float[Array, " particles"], prediction: Float[Array, " particles"]
) -> Float[Array, " particles"]:
    """The prediction times survival; zero where survival is zero, even for NaN predictions."""
    return jnp.where(survival == 0, 0.0, survival * prediction)


def plan_return(
    key: PRNGKeyArray,
    model: AbstractWorldModel,
    current: RolloutState,
    actions: Shaped[Array, "horizon *action"],
    discount: float,
) -> Float[Array, ""]:
    """The return of a plan, aggregated over particles; -inf if it is not finite."""

    def one_step(current: RolloutState, inputs):
        step_key, action = inputs
        return step(step_key, model, current, action)

    horizon = actions.shape[0]
    end, rewards = jax.lax.scan(one_step, current, (jax.random.split(key, horizon), actions))
    discounts = discount ** jnp.arange(horizon, dtype=rewards.dtype)
    return total_return(model, discounts @ rewards, end, discount, horizon)


def policy_plan(
    key: PRNGKeyArray, model: AbstractWorldModel, state: PyTree, horizon: int
) -> Shaped[Array, "horizon *action"]:
    """The actions of one rollout of the model's own policy; zero where it has diverged.

    So that they can be averaged with other plans, although their score is not finite.
    """

    def one_step(state: PyTree, key: PRNGKeyArray):
        policy_key, step_key = jax.random.split(key)
        action = jnp.nan_to_num(model.policy(state).sample(policy_key))
        return model.step(step_key, state, action).state, action

    return jax.lax.scan(one_step, state, jax.random.split(key, horizon))[1]


def total_return(
    model: AbstractWorldModel,
    earned: Float[Array, " particles"],
    current: RolloutState,
    discount: float,
    num_steps: int,
) -> Float[Array, ""]:
    """Aggregates rewards `earned` in `num_steps` steps plus the discounted bootstrap value.

    -inf if that is not finite, so that a diverged prediction never wins, whatever the sign of the
    rewards.
    """
    future = bootstrap_value(model, current, discount)
    combined = model.aggregate(earned + discount**num_steps * future)
    return jnp.where(jnp.isfinite(combined), combined, -jnp.inf)


def rollout(
    key: PRNGKeyArray,
    model: AbstractWorldModel,
    state: PyTree,
    policy: Callable[[PRNGKeyArray, PyTree], Shaped[Array, "*action"]],
    num_steps: int,
    after_step: Callable[[PRNGKeyArray, PyTree], PyTree] = lambda key, state: state,
) -> PyTree:
    """Follows a policy of (key, state); returns all states, leaves lead with [num_steps + 1].

    `after_step` changes the state after each step.
    """

    def one_step(state: PyTree, key: PRNGKeyArray):
        policy_key, step_key = jax.random.split(key)
        next_state = model.step(step_key, state, policy(policy_key, state)).state
        return after_step(jax.random.fold_in(key, AFTER_STEP), next_state), state

    last, states = jax.lax.scan(one_step, state, jax.random.split(key, num_steps))
    return jax.tree.map(lambda states, last: jnp.concatenate([states, last[None]]), states, last)
