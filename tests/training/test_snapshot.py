"""Snapshots convert to arrays and back without loss; arrays of another config are refused."""

import jax
import numpy as np
import pytest

from mbrl.assemble import assemble
from mbrl.runs.checkpoints import save_checkpoint
from mbrl.training import snapshot as module
from mbrl.training.collect import Collector, NonDeterministicEnvironment, episode_seed
from mbrl.training.snapshot import Snapshot, from_arrays, max_bytes, to_arrays
from tests.configs import ACTION_KINDS, point_mass_with, resolved_small

STEPS = 7


def assembled(*overrides: str):
    return assemble(resolved_small("training=smoke", "logger=files", *overrides))


def started(*overrides: str, at_random: bool = False):
    """The arguments of a Collector, and the snapshot of a run in its first episode."""
    training, *parts, state = assembled(*overrides)
    parts = (*parts, training.exploration)
    collector = Collector(*parts)
    state, _ = collector.collect(state, STEPS, at_random)
    return parts, Snapshot(state, collector.env_steps, 0, 0, 1.5, collector.episode)


def restore(arrays, *overrides: str) -> Snapshot:
    """The snapshot of these arrays, in a new run."""
    training, _, learner, planner, fresh = assembled(*overrides)
    return from_arrays(arrays, fresh, learner, planner, training.exploration)


CASES = [
    (*point_mass_with(kind), f"planner={planner}")
    for kind, planner in zip(ACTION_KINDS, ("cem", "mcts", "icem"), strict=True)
]
CASES += [
    (
        "planner=mppi",
        "model=probabilistic",
        "model.disagreement_bonus=0.1",
        "training.action_noise_std=0.1",
        "env=pendulum",
    )
]
CASES += [("planner=random", "model=oracle", "training.replay_capacity=60")]


@pytest.mark.parametrize(
    "overrides", CASES, ids=lambda overrides: overrides[-1] if len(overrides) < 4 else "everything"
)
def test_a_snapshot_is_restored_exactly(overrides):
    _, snapshot = started(*overrides)
    arrays = to_arrays(snapshot)
    restored = restore(arrays, *overrides)
    again = to_arrays(restored)
    assert again.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(again[name], values)
        assert again[name].dtype == values.dtype
    # Weak types, too, or the programs would be compiled again.
    assert jax.tree.map(jax.typeof, jax.tree.leaves(arrays_of(restored.state))) == jax.tree.map(
        jax.typeof, jax.tree.leaves(arrays_of(snapshot.state))
    )
    assert restored.episode.length == STEPS
    np.testing.assert_array_equal(restored.episode.noise, snapshot.episode.noise)


def arrays_of(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]


def test_only_valid_time_steps_and_the_present_observation_are_saved():
    _, snapshot = started("planner=random", at_random=True)
    arrays = to_arrays(snapshot)
    assert arrays["replay.steps.reward"].shape == (STEPS + 1,)
    np.testing.assert_array_equal(
        arrays["replay.steps.observation"], arrays["episode.observations"]
    )


def test_a_restored_run_takes_the_same_next_steps():
    parts, snapshot = started("planner=cem", "env=pendulum")
    arrays = to_arrays(snapshot)
    first = Collector(*parts, snapshot.env_steps, 0, snapshot.episode)
    first.restore(snapshot.state)
    continued, _ = first.collect(snapshot.state, 5, at_random=False)
    restored = restore(arrays, "planner=cem", "env=pendulum")
    second = Collector(*parts, restored.env_steps, restored.num_episodes, restored.episode)
    second.restore(restored.state)
    resumed, _ = second.collect(restored.state, 5, at_random=False)
    for one, other in zip(
        jax.tree.leaves(continued.replay), jax.tree.leaves(resumed.replay), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_an_episode_that_cannot_be_replayed_exactly_is_refused():
    parts, snapshot = started("planner=random", at_random=True)
    snapshot.episode.observations[3] = snapshot.episode.observations[3] + np.float32(1e-6)
    collector, state = Collector(*parts, STEPS, 0, snapshot.episode), snapshot.state
    with pytest.raises(NonDeterministicEnvironment, match="step 3 of the replayed episode"):
        collector.restore(state)
    collector.restore(state, tolerance=0.1)
    collector.restore(state, tolerance=float("inf"))


def test_collection_seeds_are_larger_than_evaluation_seeds():
    key = jax.random.key(0)
    seeds = [episode_seed(key, number) for number in range(5)]
    assert len(set(seeds)) == 5
    assert min(seeds) >= 2**20


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            ("model.num_members=1",),
            r"The checkpoint's state\.learner\.model.* is float32\(2.*, the config's float32\(1",
        ),
        (("model/value=none",), "is only in one of them"),
    ],
)
def test_a_snapshot_of_another_model_is_refused(other, message):
    without_bonus = (
        "planner=random",
        "model.disagreement_bonus=0",
    )  # a single member has none
    _, snapshot = started(*without_bonus, at_random=True)
    with pytest.raises(ValueError, match=message):
        restore(to_arrays(snapshot), *without_bonus, *other)


IMPOSSIBLE = {
    "env_steps": [-7, STEPS - 1, 10**15, np.inf, np.nan, float(STEPS), True],
    "num_episodes": [-1, STEPS + 1],
    "evaluated_at": [-1, STEPS + 1],
    "collecting_seconds": [-1e9, np.nan, np.inf, 1e300],
    "replay.num_added": [np.int32([-3]), np.int32([STEPS + 1]), np.zeros(2, np.int32)],
    "replay.num_transitions": [np.int32([-1]), np.int32([STEPS - 1]), np.int32([STEPS + 1])],
    "replay.insertion_index": [np.zeros(STEPS, np.int32), np.zeros((STEPS + 1, 1), np.int32)],
    "replay.steps.reward": [np.zeros(0, np.float32), np.zeros(STEPS, np.float32)],
    "episode.actions": [np.zeros(0, np.int32), np.zeros(STEPS), np.zeros((STEPS, 2), np.int32)],
    "episode.rewards": [np.zeros(STEPS - 1)],
    "episode.observations": [np.zeros((0, 4)), np.zeros((STEPS, 4)), np.zeros((STEPS + 1, 3))],
}


@pytest.fixture(scope="module")
def random_snapshot():
    """Arrays of a snapshot, and what converts them back."""
    _, snapshot = started("planner=random", at_random=True)
    training, _, learner, planner, fresh = assembled("planner=random")
    return to_arrays(snapshot), (fresh, learner, planner, training.exploration)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in IMPOSSIBLE.items() for value in values],
)
def test_counters_and_lengths_that_no_run_has_are_refused(random_snapshot, name, value):
    arrays, others = random_snapshot
    assert from_arrays(arrays, *others).env_steps == STEPS
    assert name in arrays
    with pytest.raises(ValueError, match="The checkpoint's"):
        from_arrays(arrays | {name: np.asarray(value)}, *others)


def test_an_episode_without_steps_is_refused(random_snapshot):
    arrays, others = random_snapshot
    empty = {f"episode.{name}": arrays[f"episode.{name}"][:0] for name in ("actions", "rewards")}
    empty["episode.observations"] = arrays["episode.observations"][:1]
    with pytest.raises(ValueError, match="or no step"):
        from_arrays(arrays | empty, *others)


def test_a_checkpoint_of_a_long_episode_is_smaller_than_its_bound(tmp_path, monkeypatch):
    _, snapshot = started("planner=random", "training.replay_capacity=60", at_random=True)
    monkeypatch.setattr(module, "MAX_OTHER_BYTES", 100_000)  # names and sizes of its arrays
    episode = snapshot.episode
    for _ in range(20_000):
        episode.observations.append(episode.observations[-1])
        episode.actions.append(episode.actions[-1])
        episode.rewards.append(0.0)
    facts = {"env_steps": episode.length, "num_rows": 0, "wall_seconds": 0.0, "config": ""}
    size = save_checkpoint(tmp_path, to_arrays(snapshot), facts, 1).stat().st_size
    assert max_bytes(snapshot.state, 60) < size < max_bytes(snapshot.state, episode.length)
