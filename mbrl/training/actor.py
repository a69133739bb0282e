"""Acting: the one way in which a planner acts in a real episode, in collection and evaluation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.models.base import AbstractWorldModel
from mbrl.planners.base import AbstractPlanner, Info

OBSERVE = 2**31 - 1  # fold_in id of a key beside those that a planner splits its own into


class Actor(NamedTuple):
    """What is carried from one real step of an episode to the next.

    Random steps of the warm-up are not observed: no model has been learned that could remember.
    """

    belief: PyTree  # the model's, of what was observed
    action: Shaped[Array, "*action"]  # the last one taken; zero before the first
    is_first: Bool[Array, ""]  # whether nothing was observed yet
    planner_state: PyTree


def init_actor(key: PRNGKeyArray, planner: AbstractPlanner, model: AbstractWorldModel) -> Actor:
    """The actor at the start of an episode."""
    action = jax.eval_shape(planner.action_space.sample, key)
    return Actor(
        model.initial(),
        jnp.zeros(action.shape, action.dtype),
        jnp.array(True),
        planner.init(key),
    )


def act(
    key: PRNGKeyArray,
    planner: AbstractPlanner,
    model: AbstractWorldModel,
    observation: Float[Array, " observation"],
    actor: Actor,
) -> tuple[Actor, Info]:
    """Observes, then plans; the new actor has the action to take.

    Who takes another action, to explore, replaces it in the actor.
    """
    belief = model.observe(
        jax.random.fold_in(key, OBSERVE), actor.belief, actor.action, observation, actor.is_first
    )
    action, state, info = planner.plan(key, model, belief, actor.planner_state)
    return Actor(belief, action, jnp.array(False), state), info
