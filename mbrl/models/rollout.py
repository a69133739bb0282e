"""Imagination: the only place where a world model is unrolled.

A plan's return from state s₀, for each particle, over actions a₀ … a_{H-1}:

    G = Σ_{t<H} γᵗ Sₜ rₜ + γᴴ S_H V(s_H),    S₀ = 1,  S_{t+1} = Sₜ cₜ

where c is the continuation and S therefore the probability of having survived so far: a step that is never reached earns
nothing. Without it a plan that drops the pole scores like one that holds it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.models.base import AbstractWorldModel

COLLAPSE = 2  # beside the two keys that a step of a walk is split into


class RolloutState(NamedTuple):
    """Where an imagined episode has come to."""

    state: PyTree
    survival: Float[Array, " particles"]  # probability of having come so far


def start(
    key: PRNGKeyArray, model: AbstractWorldModel, observation: Float[Array, " observation"]
) -> RolloutState:
    """An imagined episode that starts at a real observation."""
    return start_from(model, model.encode(key, observation))


def start_from(model: AbstractWorldModel, state: PyTree) -> RolloutState:
    """An imagined episode that starts at a state of the model."""
    num_particles = jax.eval_shape(model.value, state).shape
    return RolloutState(state, jnp.ones(num_particles))


def step(
    key: PRNGKeyArray,
    model: AbstractWorldModel,
    imagined: RolloutState,
    action: Shaped[Array, "*action"],
) -> tuple[RolloutState, Float[Array, " particles"]]:
    """One imagined step, and its reward weighed by the probability of having lived to see it."""
    prediction = model.step(key, imagined.state, action)
    reward = _weight_by_survival(imagined.survival, prediction.reward)
    return RolloutState(
        prediction.state, _weight_by_survival(imagined.survival, prediction.continuation)
    ), reward


def bootstrap_value(
    model: AbstractWorldModel, imagined: RolloutState, discount: float
) -> Float[Array, " particles"]:
    """The value of going on from here, weighed likewise; never more than rewards like those seen can sum to.

    Far from all data a value is made up, and what is made up to be better than anything lures plans there.
    """
    value = model.value(imagined.state)
    if discount < 1:
        value = jnp.minimum(value, model.normaliser.return_bounds(discount)[1])
    return _weight_by_survival(imagined.survival, value)


def _weight_by_survival(
    survival: Float[Array, " particles"], prediction: Float[Array, " particles"]
) -> Float[Array, " particles"]:
    """A prediction weighed by survival; what can never be reached counts for nothing, even where it is no number."""
    return jnp.where(survival == 0, 0.0, survival * prediction)


def plan_return(
    key: PRNGKeyArray,
    model: AbstractWorldModel,
    imagined: RolloutState,
    actions: Shaped[Array, "horizon *action"],
    discount: float,
) -> Float[Array, ""]:
    """The return of a plan as the model's particles see it together; -inf where it is not a finite number.

    So a diverged prediction can never win, whatever the sign of the rewards.
    """

    def one_step(imagined: RolloutState, inputs):
        step_key, action = inputs
        return step(step_key, model, imagined, action)

    horizon = actions.shape[0]
    end, rewards = jax.lax.scan(one_step, imagined, (jax.random.split(key, horizon), actions))
    discounts = discount ** jnp.arange(horizon, dtype=rewards.dtype)
    return total_return(model, discounts @ rewards, end, discount, horizon)


def total_return(
    model: AbstractWorldModel,
    earned: Float[Array, " particles"],
    imagined: RolloutState,
    discount: float,
    num_steps: int,
) -> Float[Array, ""]:
    """The return as the particles see it together: what they have earned in so many steps, and the discounted future; -inf where that
    is no finite number."""
    combined = model.aggregate(
        earned + discount**num_steps * bootstrap_value(model, imagined, discount)
    )
    return jnp.where(jnp.isfinite(combined), combined, -jnp.inf)


def rollout(
    key: PRNGKeyArray,
    model: AbstractWorldModel,
    state: PyTree,
    policy: Callable[[PRNGKeyArray, PyTree], Shaped[Array, "*action"]],
    num_steps: int,
) -> PyTree:
    """The states that a policy of (key, state) comes through, the first one included; leaves lead with [num_steps + 1].

    A walk is at one place at a time: where luck leads the particles apart, it goes on from one of them.
    """

    def one_step(state: PyTree, key: PRNGKeyArray):
        policy_key, step_key = jax.random.split(key)
        next_state = model.step(step_key, state, policy(policy_key, state)).state
        return model.collapse_particles(jax.random.fold_in(key, COLLAPSE), next_state), state

    last, states = jax.lax.scan(one_step, state, jax.random.split(key, num_steps))
    return jax.tree.map(lambda states, last: jnp.concatenate([states, last[None]]), states, last)
