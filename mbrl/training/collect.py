"""Collecting real steps in one environment: the planner's actions, explored upon."""

from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.models.base import AbstractWorldModel
from mbrl.planners.base import AbstractPlanner
from mbrl.training.explore import Exploration, explored
from mbrl.training.state import ACTION_NOISE, COLLECT, EPISODE_SEEDS, PLANNER_INIT, TrainState
from mbrl.types import Transition

FIRST_COLLECTION_SEED = 2**20  # evaluation seeds lie below, so that no evaluation start state is ever trained on


@dataclass
class Collector:
    """The real environment, and the episode in flight, which lives on from one phase to the next."""

    environment: GymnasiumEnvironment
    planner: AbstractPlanner
    exploration: Exploration
    env_steps: int = 0
    num_episodes: int = 0
    episode_over: bool = True
    observation: np.ndarray = field(default_factory=lambda: np.zeros(0))
    planner_state: Any = None
    episode_return: float = 0.0
    episode_length: int = 0
    infos: list[dict] = field(default_factory=list)  # the planner's, of the episode in flight
    noise: np.ndarray = field(default_factory=lambda: np.zeros(0))  # added to its actions

    def __post_init__(self):
        self.instance = self.environment.make()

    def collect(self, state: TrainState, num_steps: int, at_random: bool) -> tuple[TrainState, list[dict[str, float]]]:
        """Takes `num_steps` real steps, all of them at random or as planned and explored upon, and stores them.

        Returns a row of metrics for each episode that ended.
        """
        steps, rows, model = [], [], self.exploration.model(state)
        for _ in range(num_steps):
            if self.episode_over:
                self._begin_episode(state)
            steps.append(self._step(self._random_action(state) if at_random else self._action(state, model)))
            if self.episode_over:
                rows.append(self._end_episode())
        # On the host until here: one transfer a phase for each column.
        transitions = Transition(*(jnp.asarray(np.stack(column)) for column in zip(*steps, strict=True)))
        return state._replace(replay=add(state.replay, transitions)), rows

    def _random_action(self, state: TrainState) -> np.ndarray:
        return np.asarray(act_randomly(self.planner.action_space, state.key, np.asarray(self.env_steps)))

    def _action(self, state: TrainState, model: AbstractWorldModel) -> np.ndarray:
        epsilon = np.float32(self.exploration.epsilon_at(self.env_steps))
        noise = self.noise[self.episode_length % len(self.noise)]
        number = np.asarray(self.env_steps)
        action, self.planner_state, info = act(self.planner, model, state.key, number, self.observation, self.planner_state, epsilon, noise)
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
        self.planner_state, noise = begin(self.planner, self.exploration, state.key, np.asarray(self.num_episodes))
        self.noise = np.asarray(noise)
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
def act(planner, model, key, env_steps, observation, planner_state, epsilon, noise):
    """One decision of collection, with the luck of real step number `env_steps`."""
    plan_key, explore_key = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, COLLECT), env_steps))
    action, planner_state, info = planner.plan(plan_key, model, observation, planner_state)
    return explored(explore_key, planner.action_space, action, epsilon, noise), planner_state, info


@eqx.filter_jit
def begin(planner, exploration, key, episode):
    """The planner's state at the start of an episode, and the noise on its actions."""
    planner_key, noise_key = (jax.random.fold_in(jax.random.fold_in(key, consumer), episode) for consumer in (PLANNER_INIT, ACTION_NOISE))
    return planner.init(planner_key), exploration.noise(noise_key, planner.action_space)


@eqx.filter_jit(donate="all")
def add(replay, transitions):
    """The replay with a phase's transitions written into it, in place."""
    return replay.add(transitions)
