"""Collecting real steps in one environment: the planner's actions, explored upon."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.envs.fault_wrapper import FaultWrapper
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.models.base import AbstractWorldModel
from mbrl.planners.base import AbstractPlanner
from mbrl.training.explore import Exploration, epsilon_greedy
from mbrl.training.state import ACTION_NOISE, COLLECT, EPISODE_SEEDS, PLANNER_INIT, TrainState
from mbrl.types import Transition

FIRST_COLLECTION_SEED = (
    2**20
)  # evaluation seeds lie below, so that no evaluation start state is ever trained on


@dataclass
class Episode:
    """An episode in flight, as the host sees it: from its number and its actions it can be lived through again."""

    planner_state: Any
    noise: np.ndarray  # added to its actions; follows from its number
    observations: list[np.ndarray]  # the reset's, then one a step
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    infos: list[dict] = field(default_factory=list)  # the planner's

    @property
    def length(self) -> int:
        return len(self.actions)


@dataclass
class Collector:
    """The real environment, and the episode in flight, which lives on from one phase to the next."""

    environment: GymnasiumEnvironment
    planner: AbstractPlanner
    exploration: Exploration
    env_steps: int = 0
    num_episodes: int = 0  # that ended
    episode: Episode | None = None

    def __post_init__(self):
        self.instance = self.environment.make()

    def close(self) -> None:
        """Lets go of the environment."""
        self.instance.close()

    def restore(self, state: TrainState, tolerance: float = 0.0) -> None:
        """Brings the environment to where the episode in flight is, if there is one; raises NonDeterministicEnvironment where it cannot."""
        if self.episode:
            replay_episode(
                self.instance, episode_seed(state.key, self.num_episodes), self.episode, tolerance
            )

    def collect(
        self,
        state: TrainState,
        num_steps: int,
        at_random: bool,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> tuple[TrainState, list[dict[str, float]]]:
        """Takes `num_steps` real steps, all of them at random or as planned and explored upon, and stores them.

        Returns a row of metrics for each episode that ended. Takes fewer steps, but one at least, where `should_stop` says so.
        """
        steps: list[tuple] = []
        rows: list[dict[str, float]] = []
        models = [self.exploration.model(state, episode) for episode in (0, 1)]
        while len(steps) < num_steps and not (steps and should_stop()):
            episode = self.episode or self._begin_episode(state)
            model = models[self.num_episodes % 2]
            steps.append(
                self._step(
                    episode,
                    self._random_action(state)
                    if at_random
                    else self._action(state, model, episode),
                )
            )
            if self.episode is None:
                rows.append(self._row(episode))
        # On the host until here: one transfer a phase for each column.
        transitions = Transition(
            *(jnp.asarray(np.stack(column)) for column in zip(*steps, strict=True))
        )
        return state._replace(replay=add(state.replay, transitions)), rows

    def _random_action(self, state: TrainState) -> np.ndarray:
        return np.asarray(
            act_randomly(self.planner.action_space, state.key, np.asarray(self.env_steps))
        )

    def _action(self, state: TrainState, model: AbstractWorldModel, episode: Episode) -> np.ndarray:
        epsilon = np.float32(self.exploration.epsilon_at(self.env_steps))
        noise = episode.noise[episode.length % len(episode.noise)]
        number = np.asarray(self.env_steps)
        observation = episode.observations[-1]
        action, episode.planner_state, info = act(
            self.planner,
            model,
            state.key,
            number,
            observation,
            episode.planner_state,
            epsilon,
            noise,
        )
        episode.infos.append(info)
        return np.asarray(action)

    def _step(self, episode: Episode, action: np.ndarray) -> tuple:
        """One real step, as the fields of a Transition; ends the episode where the environment does."""
        before = episode.observations[-1]
        observation, reward, terminated, truncated, _ = self.instance.step(action)
        episode.observations.append(observation)
        episode.actions.append(action)
        episode.rewards.append(float(reward))
        self.env_steps += 1
        if terminated or truncated:
            self.num_episodes += 1
            self.episode = None
        return before, action, np.float32(reward), observation, bool(terminated), bool(truncated)

    def _begin_episode(self, state: TrainState) -> Episode:
        observation, _ = self.instance.reset(seed=episode_seed(state.key, self.num_episodes))
        planner_state, noise = init_episode(
            self.planner, self.exploration, state.key, np.asarray(self.num_episodes)
        )
        self.episode = Episode(planner_state, np.asarray(noise), [observation])
        return self.episode

    def _row(self, episode: Episode) -> dict[str, float]:
        infos = jax.device_get(episode.infos)
        means = {
            f"planner/{name}": float(np.mean([info[name] for info in infos]))
            for name in (infos[0] if infos else ())
        }
        return {
            "env_steps": self.env_steps,
            "episode/return": math.fsum(episode.rewards),
            "episode/length": episode.length,
        } | means


def episode_seed(key, number: int) -> int:
    """What the environment is reset with for the episode of that number."""
    key = jax.random.fold_in(jax.random.fold_in(key, EPISODE_SEEDS), number)
    return int(jax.random.randint(key, (), FIRST_COLLECTION_SEED, 2**31 - 1))


class NonDeterministicEnvironment(ValueError):
    """An environment that, from the same seed, answers the same actions differently."""


def replay_episode(
    instance: FaultWrapper, seed: int, episode: Episode, tolerance: float = 0.0
) -> None:
    """Brings a new instance of the environment to where `episode` is, by its seed and its actions.

    Raises NonDeterministicEnvironment where it answers otherwise than it did, by more than `tolerance` (relative).
    """
    observation, _ = instance.reset(seed=seed)
    _compare(observation, episode.observations[0], "reset", tolerance)
    for number, action in enumerate(episode.actions, start=1):
        observation, reward, terminated, truncated, _ = instance.step(action)
        _compare(observation, episode.observations[number], f"step {number}", tolerance)
        _compare(reward, episode.rewards[number - 1], f"the reward of step {number}", tolerance)
        _compare(terminated or truncated, False, f"the end at step {number}", 0.0)


def _compare(now: Any, then: Any, what: str, tolerance: float) -> None:
    tolerance = min(tolerance, 1e300)  # infinity times zero is no number
    if not np.allclose(
        np.asarray(now, np.float64), np.asarray(then, np.float64), rtol=tolerance, atol=tolerance
    ):
        raise NonDeterministicEnvironment(
            f"The environment is not deterministic: from the same seed and by the same actions, {what} of the episode in flight "
            f"gives {now} instead of {then}, so that the run cannot go on as if it had never been interrupted; "
            "go on all the same with --tolerance=inf."
        )


@eqx.filter_jit
def act_randomly(action_space, key, env_steps):
    """The random action of real step number `env_steps`."""
    return action_space.sample(jax.random.fold_in(jax.random.fold_in(key, COLLECT), env_steps))


@eqx.filter_jit
def act(planner, model, key, env_steps, observation, planner_state, epsilon, noise):
    """One decision of collection, with the luck of real step number `env_steps`."""
    plan_key, explore_key = jax.random.split(
        jax.random.fold_in(jax.random.fold_in(key, COLLECT), env_steps)
    )
    action, planner_state, info = planner.plan(plan_key, model, observation, planner_state)
    return (
        epsilon_greedy(explore_key, planner.action_space, action, epsilon, noise),
        planner_state,
        info,
    )


@eqx.filter_jit
def init_episode(planner, exploration, key, episode):
    """The planner's state at the start of an episode, and the noise on its actions."""
    planner_key, noise_key = (
        jax.random.fold_in(jax.random.fold_in(key, consumer), episode)
        for consumer in (PLANNER_INIT, ACTION_NOISE)
    )
    return planner.init(planner_key), exploration.noise(noise_key, planner.action_space)


@eqx.filter_jit(donate="all")
def add(replay, transitions):
    """The replay with a phase's transitions written into it, in place."""
    return replay.add(transitions)
