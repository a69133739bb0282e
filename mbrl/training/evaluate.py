"""Evaluation: the planner alone, without exploration, from held-out start states."""

from collections.abc import Callable
from contextlib import ExitStack, closing

import equinox as eqx
import jax
import numpy as np

from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.planners.base import AbstractPlanner
from mbrl.training.state import EVALUATE, TrainState


def evaluate(
    environment: GymnasiumEnvironment,
    planner: AbstractPlanner,
    state: TrainState,
    num_episodes: int,
    first_seed: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> np.ndarray | None:
    """The returns of `num_episodes` episodes, planned in one batch: episode i starts from seed `first_seed + i`.

    Finished episodes stay in the batch, masked, until the last one ends. Episode i's randomness is folded from i alone,
    so that its result does not depend on how many are evaluated. None where `should_stop` cut it short.
    """
    episodes = np.arange(num_episodes)
    with ExitStack() as opened:
        instances = [opened.enter_context(closing(environment.make())) for _ in episodes]
        observations = np.stack(
            [instance.reset(seed=first_seed + i)[0] for i, instance in enumerate(instances)]
        )
        planner_states = init_episodes(planner, state.key, episodes)
        returns, running, step = np.zeros(num_episodes), np.ones(num_episodes, bool), 0
        while running.any() and not should_stop():
            outputs = act_all(
                planner,
                state.model,
                state.key,
                episodes,
                np.asarray(step),
                observations,
                planner_states,
            )
            actions, planner_states = np.asarray(outputs[0]), outputs[1]
            for i in np.flatnonzero(running):
                observations[i], reward, terminated, truncated, _ = instances[i].step(actions[i])
                returns[i] += reward
                running[i] = not (terminated or truncated)
            step += 1
    return None if running.any() else returns


@eqx.filter_jit
def init_episodes(planner, key, episodes):
    return jax.vmap(lambda episode: planner.init(_key(key, episode)))(episodes)


@eqx.filter_jit
def act_all(planner, model, key, episodes, step, observations, planner_states):
    def act_one(episode, observation, planner_state):
        step_key = jax.random.fold_in(_key(key, episode), step)
        action, planner_state, _ = planner.plan(step_key, model, observation, planner_state)
        return action, planner_state

    return jax.vmap(act_one)(episodes, observations, planner_states)


def _key(key, episode):
    return jax.random.fold_in(jax.random.fold_in(key, EVALUATE), episode)
