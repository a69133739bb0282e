"""Collecting real steps in one environment: the planner's actions, explored upon."""

from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.planners.base import AbstractPlanner
from mbrl.training.explore import epsilon_greedy
from mbrl.training.state import COLLECT, EPISODE_SEEDS, PLANNER_INIT, TrainState
from mbrl.types import Transition

FIRST_COLLECTION_SEED = 2**20  # evaluation seeds lie below, so that no evaluation start state is ever trained on


@dataclass
class Collector:
    """The real environment, and the episode in flight, which lives on from one phase to the next."""

    environment: GymnasiumEnvironment
    planner: AbstractPlanner
    env_steps: int = 0
    num_episodes: int = 0
    episode_over: bool = True
    observation: np.ndarray = field(default_factory=lambda: np.zeros(0))
    planner_state: Any = None
    episode_return: float = 0.0
    episode_length: int = 0
    infos: list[dict] = field(default_factory=list)  # the planner's, of the episode in flight

    def __post_init__(self):
        self.instance = self.environment.make()

    def collect(self, state: TrainState, num_steps: int, epsilon: float) -> tuple[TrainState, list[dict[str, float]]]:
        """Takes `num_steps` real steps, a share of `epsilon` at random, and stores them.

        Returns a row of metrics for each episode that ended.
        """
        steps, rows = [], []
        for _ in range(num_steps):
            if self.episode_over:
                self._begin_episode(state)
            steps.append(self._step(self._act(state, epsilon)))
            if self.episode_over:
                rows.append(self._end_episode())
        # On the host until here: one transfer a phase for each column.
        transitions = Transition(*(jnp.asarray(np.stack(column)) for column in zip(*steps, strict=True)))
        return state._replace(replay=add(state.replay, transitions)), rows

    def _act(self, state: TrainState, epsilon: float) -> np.ndarray:
        number = np.asarray(self.env_steps)
        if epsilon == 1.0:  # no need to think
            return np.asarray(act_randomly(self.planner.action_space, state.key, number))
        action, self.planner_state, info = act(
            self.planner, state.model, state.key, number, self.observation, self.planner_state, np.float32(epsilon)
        )
        self.infos.append(info)
        return np.asarray(action)

    def _step(self, action: np.ndarray) -> tuple:
        """One real step, as the fields of a Transition."""
        observation = self.observation
        self.observation, reward, terminated, truncated, _ = self.instance.step(action)
        self.env_steps += 1
        self.episode_return += float(reward)
        self.episode_length += 1
        self.episode_over = bool(terminated or truncated)
        return observation, action, np.float32(reward), self.observation, bool(terminated), bool(truncated)

    def _begin_episode(self, state: TrainState) -> None:
        key = jax.random.fold_in(jax.random.fold_in(state.key, EPISODE_SEEDS), self.num_episodes)
        seed = int(jax.random.randint(key, (), FIRST_COLLECTION_SEED, 2**31 - 1))
        self.observation, _ = self.instance.reset(seed=seed)
        self.planner_state = begin(self.planner, state.key, np.asarray(self.num_episodes))
        self.episode_over, self.episode_return, self.episode_length, self.infos = False, 0.0, 0, []

    def _end_episode(self) -> dict[str, float]:
        infos = jax.device_get(self.infos)
        means = {f"planner/{name}": float(np.mean([info[name] for info in infos])) for name in (infos[0] if infos else ())}
        self.num_episodes += 1
        return {
            "env_steps": self.env_steps,
            "episode/return": self.episode_return,
            "episode/length": self.episode_length,
        } | means


@eqx.filter_jit
def act_randomly(action_space, key, env_steps):
    """The random action of real step number `env_steps`."""
    return action_space.sample(jax.random.fold_in(jax.random.fold_in(key, COLLECT), env_steps))


@eqx.filter_jit
def act(planner, model, key, env_steps, observation, planner_state, epsilon):
    """One decision of collection, with the noise of real step number `env_steps`."""
    plan_key, explore_key = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, COLLECT), env_steps))
    action, planner_state, info = planner.plan(plan_key, model, observation, planner_state)
    return epsilon_greedy(explore_key, planner.action_space, action, epsilon), planner_state, info


@eqx.filter_jit
def begin(planner, key, episode):
    """The planner's state at the start of an episode."""
    return planner.init(jax.random.fold_in(jax.random.fold_in(key, PLANNER_INIT), episode))


@eqx.filter_jit(donate="all")
def add(replay, transitions):
    """The replay with a phase's transitions written into it, in place."""
    return replay.add(transitions)
