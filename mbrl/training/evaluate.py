"""Evaluation: the planner without exploration, from start states reserved for evaluation."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np

from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.planners.base import AbstractPlanner
from mbrl.training.state import EVALUATE, TrainState


class Evaluation(NamedTuple):
    """The episodes of an evaluation, in the order of their seeds."""

    returns: np.ndarray  # undiscounted, in units of reward
    lengths: np.ndarray  # steps


def evaluate(
    environment: GymnasiumEnvironment,
    planner: AbstractPlanner,
    state: TrainState,
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
        planner_states = init_episodes(planner, state.key, episodes)
        returns, lengths = np.zeros(num_episodes), np.zeros(num_episodes, int)
        running, step = np.ones(num_episodes, bool), 0
        while running.any() and not should_stop():
            counters = (episodes, np.asarray(step))
            actions, planner_states = act_all(
                planner, state.model, state.key, *counters, observations, planner_states
            )
            actions = np.asarray(actions)
            for i in np.flatnonzero(running):
                observations[i], reward, terminated, truncated, _ = envs[i].step(actions[i])
                returns[i] += reward
                lengths[i] += 1
                running[i] = not (terminated or truncated)
            step += 1
            advance(num_episodes - int(running.sum()), step)
    return None if running.any() else Evaluation(returns, lengths)


@eqx.filter_jit
def init_episodes(planner, key, episodes):
    """The planner's states at the start of the episodes."""
    return jax.vmap(lambda episode: planner.init(_episode_key(key, episode)))(episodes)


@eqx.filter_jit
def act_all(planner, model, key, episodes, step, observations, planner_states):
    """Plans one action for each episode."""

    def act_one(episode, observation, planner_state):
        step_key = jax.random.fold_in(_episode_key(key, episode), step)
        action, planner_state, _ = planner.plan(step_key, model, observation, planner_state)
        return action, planner_state

    return jax.vmap(act_one)(episodes, observations, planner_states)


def _episode_key(key, episode):
    return jax.random.fold_in(jax.random.fold_in(key, EVALUATE), episode)
