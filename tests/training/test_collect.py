"""Collection in an environment whose observations count its steps."""

from typing import ClassVar

import gymnasium
import jax
import numpy as np
import pytest

from mbrl.config.build import build
from mbrl.data.replay_buffer import init_replay
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.planners.base import Decision
from mbrl.planners.random import RandomPlanner
from mbrl.training.collect import FIRST_COLLECTION_SEED, Collector
from mbrl.training.explore import Exploration
from mbrl.training.state import TrainState
from mbrl.types import Discrete
from tests.configs import resolved
from tests.training.recall import RecallLearner


class Counter(gymnasium.Env):
    """Observes (seed / 2^31, steps since reset); action 1 terminates the episode."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    seeds: ClassVar[list[int]] = []

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        Counter.seeds.append(seed)
        self.first, self.steps = seed / 2**31, 0
        return self._observe(), {}

    def step(self, action):
        self.steps += 1
        return self._observe(), float(self.steps), action == 1, False, {}

    def _observe(self):
        return np.array([self.first, self.steps], np.float32)


@pytest.fixture(autouse=True)
def counting_environment():
    gymnasium.register("Counter-v0", Counter, max_episode_steps=7, disable_env_checker=True)
    Counter.seeds.clear()
    yield
    del gymnasium.registry["Counter-v0"]


class Stay(RandomPlanner):
    """Always chooses action 0, and counts its decisions."""

    def init(self, key):
        return np.zeros((), np.int32)

    def plan(self, key, model, belief, state):
        info = {"decision": state.astype(float), "episode_of_model": model.episode.astype(float)}
        return Decision(jax.numpy.zeros((), int), state + 1, info)


def collector_of(planner_class, seed=0, **exploration):
    environment, space = GymnasiumEnvironment("Counter-v0"), Discrete(2)
    off = {"epsilon": 0.0, "action_noise_std": 0.0, "action_noise_exponent": 0.0}
    exploration = Exploration(**(off | exploration))
    collector = Collector(environment, RecallLearner(), planner_class(space), exploration)
    replay = init_replay(2000, jax.ShapeDtypeStruct((2,), np.float32), space)
    return collector, TrainState(jax.random.key(seed), (), replay)


def stored(state):
    """The transitions, in the order in which they were collected."""
    data = state.replay.transitions()
    return jax.tree.map(lambda leaf: np.asarray(leaf)[: int(data.size)], data.rows)


PHASES = pytest.mark.parametrize("phases", [[20], [7, 13], [3, 10, 7]], ids=str)


def collected(phases: list[int]) -> TrainState:
    """The state after phases of so many real steps; an episode has 7."""
    collector, state = collector_of(Stay)
    for num_steps in phases:
        state, _ = collector.collect(state, num_steps, at_random=False)
    return state


@PHASES
def test_transitions_are_consecutive_and_the_last_observation_is_not_the_resets(phases):
    transitions = stored(collected(phases))
    np.testing.assert_array_equal(transitions.observation[:, 1], np.arange(20) % 7)
    np.testing.assert_array_equal(transitions.next_observation[:, 1], np.arange(20) % 7 + 1)
    np.testing.assert_array_equal(transitions.reward, np.arange(20) % 7 + 1)
    np.testing.assert_array_equal(transitions.observation[:, 0], transitions.next_observation[:, 0])


@PHASES
def test_each_episode_begins_with_a_first_time_step_and_ends_with_one_last_observation(phases):
    steps = collected(phases).replay.to_host().steps
    counts = np.concatenate([np.arange(8), np.arange(8), np.arange(7)])
    np.testing.assert_array_equal(steps.observation[:, 1], counts)
    seeds = np.float32(Counter.seeds).repeat([8, 8, 7]) / 2**31
    np.testing.assert_array_equal(steps.observation[:, 0], seeds)
    # The present observation, after the newest time step, is not one yet.
    np.testing.assert_array_equal(steps.is_first[:-1], counts[:-1] == 0)
    np.testing.assert_array_equal(steps.is_last[:-1], counts[:-1] == 7)
    np.testing.assert_array_equal(steps.truncated[:-1], counts[:-1] == 6)
    np.testing.assert_array_equal(steps.reward[:-1], np.where(counts == 7, 0, counts + 1)[:-1])


def test_a_time_limit_truncates_and_does_not_terminate():
    collector, state = collector_of(Stay)
    state, rows = collector.collect(state, 14, at_random=False)
    transitions = stored(state)
    assert not transitions.terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(transitions.truncated), [6, 13])
    assert [row["episode/length"] for row in rows] == [7, 7]
    assert [row["episode/return"] for row in rows] == [28.0, 28.0]
    assert [row["env_steps"] for row in rows] == [7, 14]


def test_a_termination_is_not_a_truncation():
    collector, state = collector_of(RandomPlanner)
    state, rows = collector.collect(state, 40, at_random=True)
    transitions = stored(state)
    np.testing.assert_array_equal(transitions.terminated, transitions.action == 1)
    assert not (transitions.terminated & transitions.truncated & (transitions.action == 0)).any()
    assert len(rows) == (transitions.terminated | transitions.truncated).sum()


def test_an_episode_continues_in_the_next_phase():
    collector, state = collector_of(Stay)
    state, _ = collector.collect(state, 3, at_random=False)
    state, rows = collector.collect(state, 4, at_random=False)
    np.testing.assert_array_equal(stored(state).observation[:, 1], np.arange(7))
    assert rows[0]["planner/decision"] == np.arange(7).mean()


def test_the_planners_state_is_reset_in_every_episode():
    collector, state = collector_of(Stay)
    _, rows = collector.collect(state, 14, at_random=False)
    assert [row["planner/decision"] for row in rows] == [3.0, 3.0]


def test_episodes_have_distinct_seeds_larger_than_those_of_evaluation():
    collector, state = collector_of(Stay)
    collector.collect(state, 21, at_random=False)
    assert len(set(Counter.seeds)) == len(Counter.seeds) == 3
    assert min(Counter.seeds) >= FIRST_COLLECTION_SEED


def test_the_seed_determines_the_actions():
    def actions(seed):
        collector, state = collector_of(RandomPlanner, seed, epsilon=0.5, action_noise_std=0.5)
        state, _ = collector.collect(state, 40, at_random=False)
        return stored(state).action

    np.testing.assert_array_equal(actions(3), actions(3))
    assert (actions(3) != actions(4)).any()


def test_epsilon_is_the_fraction_of_random_actions():
    collector, state = collector_of(Stay, epsilon=0.2)
    state, _ = collector.collect(state, 900, at_random=False)
    # A random action is 1 with probability 1/2: 900 · 0.1 = 90 expected, standard deviation 9.
    assert 90 - 36 < stored(state).action.sum() < 90 + 36


def test_epsilon_follows_its_schedule_of_real_steps():
    """Random actions until step 40, across phases and episodes; half of them are 1."""
    collector, state = collector_of(Stay, epsilon=lambda env_steps: 1.0 if env_steps < 40 else 0.0)
    for _ in range(4):
        state, _ = collector.collect(state, 20, at_random=False)
    actions = stored(state).action
    # Binomial: 20 expected, standard deviation 3.2.
    assert 5 <= actions[:40].sum() <= 35
    assert actions[20:40].any()
    assert not actions[40:].any()


def test_random_steps_use_neither_planner_nor_exploration():
    """Their actions depend on the run's seed alone."""
    quiet, state = collector_of(Stay)
    noisy, other_state = collector_of(Stay, epsilon=0.5, action_noise_std=9.0)
    (state, rows), (other_state, _) = (
        quiet.collect(state, 40, at_random=True),
        noisy.collect(other_state, 40, at_random=True),
    )
    np.testing.assert_array_equal(stored(state).action, stored(other_state).action)
    assert 5 <= stored(state).action.sum() <= 35
    assert not any("planner/decision" in row for row in rows)


def test_noise_is_indexed_by_the_step_of_the_episode(monkeypatch):
    """Noise in step 3 alone makes its action 1, which terminates the episode."""

    def noise(self, key, action_space):
        return jax.numpy.zeros((5, 2)).at[3, 1].set(2.0)

    monkeypatch.setattr(Exploration, "noise", noise)
    # A value that no other test has, since compiled programs are cached by it.
    collector, state = collector_of(Stay, action_noise_std=0.0123)
    state, rows = collector.collect(state, 12, at_random=False)
    np.testing.assert_array_equal(stored(state).action, [0, 0, 0, 1] * 3)
    assert [row["episode/length"] for row in rows] == [4, 4, 4]


def test_each_episode_is_planned_in_the_learners_model_for_it():
    collector, state = collector_of(Stay)
    rows = []
    for num_steps in (5, 12, 11):
        state, ended = collector.collect(state, num_steps, at_random=False)
        rows += ended
    assert [row["planner/episode_of_model"] for row in rows] == [0.0, 1.0, 2.0, 3.0]


def test_the_config_finds_the_registered_environment():
    config = resolved("env=gymnasium", "env.id=Counter-v0").tree
    assert build(config.env).observation_size == 2
