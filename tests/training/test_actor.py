"""A model's memory reaches from the first observation of an episode to its last, and no farther.

The planner's action depends on all that the model recalls, so that a sequence of actions shows it.
"""

from typing import ClassVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.data.replay_buffer import init_replay
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.planners.base import AbstractPlanner, Decision
from mbrl.planners.random import RandomPlanner
from mbrl.training.actor import act, init_actor
from mbrl.training.collect import Collector
from mbrl.training.evaluate import evaluate
from mbrl.training.explore import Exploration
from mbrl.training.snapshot import Snapshot, from_arrays, to_arrays
from mbrl.training.state import TrainState
from mbrl.types import AbstractActionSpace, Discrete
from tests.training.recall import Recall, RecallLearner, recalled

KEY = jax.random.key(0)
NUM_ACTIONS = 7
LEARNER = RecallLearner()


class Dice(gymnasium.Env):
    """Observes a random number from 0 to 9; an episode terminates with a 0."""

    observation_space = gymnasium.spaces.Box(0, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(NUM_ACTIONS)
    episodes: ClassVar[list[tuple[list, list]]] = []  # observations and actions of each

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.observations, self.actions = [], []
        Dice.episodes.append((self.observations, self.actions))
        return self._roll(), {}

    def step(self, action):
        self.actions.append(int(action))
        observation = self._roll()
        return observation, 0.0, bool(observation[0] == 0), False, {}

    def _roll(self):
        self.observations.append(self.np_random.integers(0, 10, 1).astype(np.float32))
        return self.observations[-1]


@pytest.fixture(autouse=True)
def dice_environment():
    gymnasium.register("Dice-v0", Dice, max_episode_steps=20, disable_env_checker=True)
    Dice.episodes.clear()
    yield
    del gymnasium.registry["Dice-v0"]


class Recollecting(AbstractPlanner):
    """Takes the action of the number that its belief recalls."""

    METRICS: ClassVar[dict[str, str]] = {}

    action_space: AbstractActionSpace

    def init(self, key):
        return ()

    def plan(self, key, model, belief, state):
        return Decision(belief[1] % NUM_ACTIONS, state, {})


PLANNER = Recollecting(Discrete(NUM_ACTIONS))


def planned(observations, actions) -> list[int]:
    """The action that the planner chooses at each step of an episode."""
    steps = range(len(actions))
    return [recalled(observations[: step + 1], actions[:step]) % NUM_ACTIONS for step in steps]


def collector_of(epsilon=0.0, env_steps=0, num_episodes=0, episode=None) -> Collector:
    environment, exploration = GymnasiumEnvironment("Dice-v0"), Exploration(epsilon, 0.0, 0.0)
    return Collector(environment, LEARNER, PLANNER, exploration, env_steps, num_episodes, episode)


def start() -> TrainState:
    observation = jax.ShapeDtypeStruct((1,), np.float32)
    return TrainState(KEY, (), init_replay(1000, observation, Discrete(NUM_ACTIONS)))


def test_a_belief_follows_from_all_observations_and_the_actions_that_were_taken():
    """Every other action is another one than the planner's."""
    model, observations, actions = LEARNER.model(()), [], []
    actor = init_actor(KEY, PLANNER, model)
    for step in range(6):
        observations.append(np.array([step + 3.0], np.float32))
        actor, _ = act(KEY, PLANNER, model, jnp.asarray(observations[-1]), actor)
        assert actor.belief == (step + 1, recalled(observations, actions))
        assert actor.action == actor.belief[1] % NUM_ACTIONS
        if step % 2:
            actor = actor._replace(action=(actor.action + 1) % NUM_ACTIONS)
        actions.append(int(actor.action))


def test_before_an_episode_the_last_action_is_zero_and_nothing_was_observed(action_space):
    sample = action_space.sample(KEY)
    actor = init_actor(KEY, RandomPlanner(action_space), Recall(jnp.array(0)))
    assert actor.is_first
    assert actor.belief == (0, 0)
    assert (actor.action.shape, actor.action.dtype) == (sample.shape, sample.dtype)
    assert np.all(actor.action == 0)


def test_collection_recalls_an_episode_across_phases_and_no_other_one():
    """Every third action is random; the planner recalls it, not its own."""
    collector, state = collector_of(epsilon=lambda env_steps: float(env_steps % 3 == 0)), start()
    for _ in range(10):
        state, _ = collector.collect(state, 7, at_random=False)
    assert len(Dice.episodes) > 5
    taken = np.array([action for _, actions in Dice.episodes for action in actions])
    expected = [action for episode in Dice.episodes for action in planned(*episode)]
    is_random = np.arange(70) % 3 == 0
    assert np.mean((taken != expected)[is_random]) > 0.5
    np.testing.assert_array_equal(taken[~is_random], np.array(expected)[~is_random])


def test_evaluation_recalls_each_episode_of_its_batch():
    evaluation = evaluate(
        GymnasiumEnvironment("Dice-v0"), PLANNER, LEARNER.model(()), KEY, 4, first_seed=0
    )
    assert len(set(evaluation.lengths)) > 1
    assert [len(actions) for _, actions in Dice.episodes] == evaluation.lengths.tolist()
    for observations, actions in Dice.episodes:
        assert actions == planned(observations, actions)


def test_a_restored_snapshot_recalls_the_episode_in_progress():
    collector, state = collector_of(epsilon=0.5), start()
    while collector.episode is None or collector.episode.length < 4:
        state, _ = collector.collect(state, 1, at_random=False)
    counts = (collector.env_steps, collector.num_episodes)
    arrays = to_arrays(Snapshot(state, *counts, episode=collector.episode))
    restored = from_arrays(arrays, start(), LEARNER, PLANNER, collector.exploration)
    assert restored.episode.actor.belief == collector.episode.actor.belief
    other = collector_of(0.5, *counts, restored.episode)
    other.restore(restored.state)
    observations, actions = Dice.episodes[-1]
    other.collect(restored.state, 1, at_random=False)
    before = (observations[:-1], actions[:-1])
    assert restored.episode.actor.belief == (len(actions), recalled(*before))


def test_a_memory_begins_with_the_first_planned_step():
    """The warm-up ends in the middle of an episode; no model has been learned before."""
    collector, state = collector_of(), start()
    while collector.episode is None or collector.episode.length < 4:
        state, _ = collector.collect(state, 1, at_random=True)
    collector.collect(state, 1, at_random=False)
    observations, actions = Dice.episodes[-1]
    assert actions[4:] == planned(observations[4:], actions[4:])
