"""Evaluation: the planner without exploration, from start states reserved for evaluation."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.models.base import AbstractWorldModel
from mbrl.planners.base import AbstractPlanner
from mbrl.randomness import EVALUATE
from mbrl.training.actor import act, init_actor


class Evaluation(NamedTuple):
    """The episodes of an evaluation, in the order of their seeds."""

    returns: np.ndarray  # undiscounted, in units of reward
    lengths: np.ndarray  # steps


def evaluate(
    environment: GymnasiumEnvironment,
    planner: AbstractPlanner,
    model: AbstractWorldModel,
    key: PRNGKeyArray,
    num_episodes: int,
    first_seed: int,
    should_stop: Callable[[], bool] = lambda: False,
    advance: Callable[[int, int], None] = lambda num_finished, step: None,
) -> Evaluation | None:
    """Runs `num_episodes` episodes, planned in one batch; None if `should_stop`.

    Episode i is reset with `first_seed + i`, and its key is folded from i alone, so that its return
    does not depend on the number of episodes. Finished episodes stay in the batch, masked.
    After every step, `advance` receives their number and that of the steps.
    """
    episodes = np.arange(num_episodes)
    with ExitStack() as stack:
        envs = [stack.enter_context(closing(environment.make())) for _ in episodes]
        observations = np.stack([env.reset(seed=first_seed + i)[0] for i, env in enumerate(envs)])
        actors = init_actors(planner, model, key, episodes)
        returns, lengths = np.zeros(num_episodes), np.zeros(num_episodes, int)
        running, step = np.ones(num_episodes, bool), 0
        while running.any() and not should_stop():
            counters = (episodes, np.asarray(step))
            actors = act_all(planner, model, key, *counters, observations, actors)
            actions = np.asarray(actors.action)
            for i in np.flatnonzero(running):
                observations[i], reward, terminated, truncated, _ = envs[i].step(actions[i])
                returns[i] += reward
                lengths[i] += 1
                running[i] = not (terminated or truncated)
            step += 1
            advance(num_episodes - int(running.sum()), step)
    return None if running.any() else Evaluation(returns, lengths)


@eqx.filter_jit
def init_actors(planner, model, key, episodes):
    """The actors at the start of the episodes."""
    return jax.vmap(lambda episode: init_actor(_episode_key(key, episode), planner, model))(
        episodes
    )


@eqx.filter_jit
def act_all(planner, model, key, episodes, step, observations, actors):
    """The actors of all episodes after one step."""

    def act_one(episode, observation, actor):
        step_key = jax.random.fold_in(_episode_key(key, episode), step)
        actor, _ = act(step_key, planner, model, observation, actor)
        return actor

    return jax.vmap(act_one)(episodes, observations, actors)


def _episode_key(key, episode):
    return jax.random.fold_in(jax.random.fold_in(key, EVALUATE), episode)
