"""Collection: real steps in one environment with the planner's actions and exploration."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import numpy as np

from mbrl.data.replay_buffer import ReplayBuffer, TimeStep
from mbrl.envs.fault_wrapper import FaultWrapper
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.models.base import AbstractLearner, AbstractWorldModel
from mbrl.planners.base import AbstractPlanner
from mbrl.randomness import ACTION_NOISE, COLLECT, EPISODE_SEEDS, PLANNER_INIT
from mbrl.training.actor import Actor, act, init_actor
from mbrl.training.explore import Exploration, epsilon_greedy
from mbrl.training.state import TrainState

# Evaluation seeds are smaller, so that no start state of evaluation is ever trained on.
FIRST_COLLECTION_SEED = 2**20


class NonDeterministicEnvironment(ValueError):
    """The environment responds differently to the same seed and actions."""


@dataclass
class Episode:
    """An episode in progress, on the host; its index and actions suffice to replay it."""

    actor: Actor
    noise: np.ndarray  # [steps, features]; a function of the episode's index
    observations: list[np.ndarray]  # that of the reset, then one per step
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    infos: list[dict] = field(default_factory=list)  # from the planner

    @property
    def length(self) -> int:
        return len(self.actions)


@dataclass
class Collector:
    """The real environment with its episode in progress, which continues in the next phase."""

    environment: GymnasiumEnvironment
    learner: AbstractLearner
    planner: AbstractPlanner
    exploration: Exploration
    env_steps: int = 0
    num_episodes: int = 0  # finished ones
    episode: Episode | None = None

    def __post_init__(self):
        self.env = self.environment.make()

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    def restore(self, state: TrainState, tolerance: float = 0.0) -> None:
        """Replays the episode in progress, if any, in the new environment.

        Raises NonDeterministicEnvironment like `replay_episode`.
        """
        if self.episode:
            seed = episode_seed(state.key, self.num_episodes)
            replay_episode(self.env, seed, self.episode, tolerance)

    def collect(
        self,
        state: TrainState,
        num_steps: int,
        at_random: bool,
        should_stop: Callable[[], bool] = lambda: False,
        advance: Callable[[int], None] = lambda env_steps: None,
    ) -> tuple[TrainState, list[dict[str, float]]]:
        """Takes `num_steps` real steps, random or planned, and adds them to the replay buffer.

        Also returns one row of metrics per finished episode. Stops early, but after at least one
        step, once `should_stop` returns True. `advance` receives `env_steps` after every step.
        """
        steps: list[TimeStep] = []
        start = self.env_steps
        rows: list[dict[str, float]] = []
        model = self.learner.collection_model(state.learner, self.num_episodes)
        while self.env_steps - start < num_steps and not (steps and should_stop()):
            episode = self.episode
            if episode is None:
                observation, _ = self.env.reset(seed=episode_seed(state.key, self.num_episodes))
                actor, noise = init_episode(
                    self.planner, model, self.exploration, state.key, np.asarray(self.num_episodes)
                )
                episode = Episode(actor, np.asarray(noise), [observation])
                self.episode = episode
            if at_random:
                action = act_randomly(
                    self.planner.action_space, state.key, np.asarray(self.env_steps)
                )
            else:
                action = self._plan(state, model, episode)
            steps += self._step(episode, np.asarray(action))
            if self.episode is None:
                rows.append(self._row(episode))
                model = self.learner.collection_model(state.learner, self.num_episodes)
            advance(self.env_steps)
        present = steps[-1].observation if self.episode is None else self.episode.observations[-1]
        return state._replace(replay=add_all(state.replay, steps, num_steps, present)), rows

    def _plan(self, state: TrainState, model: AbstractWorldModel, episode: Episode) -> jax.Array:
        epsilon = np.float32(self.exploration.epsilon_at(self.env_steps))
        noise = episode.noise[episode.length % len(episode.noise)]
        episode.actor, info = act_exploring(
            self.planner,
            model,
            state.key,
            np.asarray(self.env_steps),
            episode.observations[-1],
            episode.actor,
            epsilon,
            noise,
        )
        episode.infos.append(info)
        return episode.actor.action

    def _step(self, episode: Episode, action: np.ndarray) -> list[TimeStep]:
        """Takes one real step; returns its time step, and the episode's last one if it ended."""
        before = episode.observations[-1]
        observation, reward, terminated, truncated, _ = self.env.step(action)
        episode.observations.append(observation)
        episode.actions.append(action)
        episode.rewards.append(float(reward))
        self.env_steps += 1
        outcome = (np.float32(reward), bool(terminated), bool(truncated))
        row: Any = (before, action, *outcome, episode.length == 1, False, {})
        steps = [TimeStep(*row)]
        if terminated or truncated:
            self.num_episodes += 1
            self.episode = None
            row = (observation, np.zeros_like(action), np.float32(0), False, False, False, True, {})
            steps.append(TimeStep(*row))
        return steps

    def _row(self, episode: Episode) -> dict[str, float]:
        """The metrics of a finished episode."""
        infos = jax.device_get(episode.infos)
        means = {
            f"planner/{name}": float(np.mean([info[name] for info in infos]))
            for name in (infos[0] if infos else ())
        }
        return {
            "env_steps": self.env_steps,
            "episode/return": math.fsum(episode.rewards),
            "episode/length": episode.length,
            **means,
        }


def episode_seed(key, index: int) -> int:
    """The seed with which the environment is reset for the episode of this index."""
    key = jax.random.fold_in(jax.random.fold_in(key, EPISODE_SEEDS), index)
    return int(jax.random.randint(key, (), FIRST_COLLECTION_SEED, 2**31 - 1))


def replay_episode(env: FaultWrapper, seed: int, episode: Episode, tolerance: float = 0.0) -> None:
    """Repeats the actions of `episode` in a new environment.

    Raises NonDeterministicEnvironment if observations or rewards differ from the recorded ones by
    more than `tolerance` (relative), or if the episode ends.
    """
    observation, _ = env.reset(seed=seed)
    _compare(observation, episode.observations[0], "reset", tolerance)
    for step, action in enumerate(episode.actions, start=1):
        observation, reward, terminated, truncated, _ = env.step(action)
        _compare(observation, episode.observations[step], f"step {step}", tolerance)
        _compare(reward, episode.rewards[step - 1], f"the reward of step {step}", tolerance)
        _compare(terminated or truncated, False, f"the end at step {step}", 0.0)


def _compare(actual: Any, recorded: Any, name: str, tolerance: float) -> None:
    tolerance = min(tolerance, 1e300)  # inf times zero is NaN
    numbers = (np.asarray(actual, np.float64), np.asarray(recorded, np.float64))
    if not np.allclose(*numbers, rtol=tolerance, atol=tolerance):
        raise NonDeterministicEnvironment(
            f"The environment is not deterministic: {name} of the replayed episode gives {actual} "
            f"instead of {recorded}, so an exact resume is impossible. Resume with --tolerance=inf "
            "to accept the difference."
        )


@eqx.filter_jit
def act_randomly(action_space, key, env_steps):
    """The random action of real step `env_steps`."""
    return action_space.sample(jax.random.fold_in(jax.random.fold_in(key, COLLECT), env_steps))


@eqx.filter_jit
def act_exploring(planner, model, key, env_steps, observation, actor, epsilon, noise):
    """Plans and explores at real step `env_steps`; returns the actor and the planner's info."""
    plan_key, explore_key = jax.random.split(
        jax.random.fold_in(jax.random.fold_in(key, COLLECT), env_steps)
    )
    actor, info = act(plan_key, planner, model, observation, actor)
    action = epsilon_greedy(explore_key, planner.action_space, actor.action, epsilon, noise)
    return actor._replace(action=action), info


@eqx.filter_jit
def init_episode(planner, model, exploration, key, index):
    """The actor and the action noise for the episode of this index."""
    planner_key, noise_key = (
        jax.random.fold_in(jax.random.fold_in(key, consumer), index)
        for consumer in (PLANNER_INIT, ACTION_NOISE)
    )
    actor = init_actor(planner_key, planner, model)
    return actor, exploration.noise(noise_key, planner.action_space)


def add_all(
    replay: ReplayBuffer, steps: list[TimeStep], num_steps: int, present: np.ndarray
) -> ReplayBuffer:
    """Adds a phase's time steps to the replay buffer, in one transfer to the device per column.

    Of `num_steps` real steps each may end an episode, so columns of twice that length have the same
    shape in every phase.
    """

    def column(*values: Any) -> np.ndarray:
        padded = np.zeros((1, 2 * num_steps, *np.shape(values[0])), np.asarray(values[0]).dtype)
        padded[0, : len(values)] = values
        return padded

    return add(replay, jax.tree.map(column, *steps), np.array([len(steps)]), present[None])


@eqx.filter_jit(donate="all")
def add(replay, steps, num_new, present):
    """Adds time steps to the replay buffer, in place."""
    return replay.add(steps, num_new, present)
