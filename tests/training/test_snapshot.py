"""A snapshot comes back from its arrays as it was, with every kind of action, model and planner; and one that does not fit is refused."""

import jax
import numpy as np
import pytest

from mbrl.assemble import assemble
from mbrl.training.collect import Collector, NonDeterministicEnvironment, episode_seed
from mbrl.training.snapshot import Snapshot, from_arrays, to_arrays
from tests.configs import ACTION_KINDS, point_mass_with, small_config

STEPS = 7


def parts(*overrides: str):
    return assemble(small_config("training=smoke", "logger=files", *overrides))


def begun(*overrides: str, at_random: bool = False):
    """The parts of a run, and its snapshot in its first episode."""
    training, environment, planner, state = parts(*overrides)
    collector = Collector(environment, planner, training.exploration)
    state, _ = collector.collect(state, STEPS, at_random)
    return (training, planner, state, environment), Snapshot(
        state, collector.env_steps, 0, 0, 1.5, collector.episode
    )


CASES = [
    (*point_mass_with(kind), f"planner={planner}")
    for kind, planner in zip(ACTION_KINDS, ("cem", "mcts", "icem"), strict=True)
]
CASES += [
    (
        "planner=mppi",
        "model=probabilistic",
        "training.disagreement_bonus=0.1",
        "training.action_noise_std=0.1",
        "env=pendulum",
    )
]
CASES += [("planner=random", "model=oracle", "training.replay_capacity=60")]


@pytest.mark.parametrize(
    "overrides", CASES, ids=lambda overrides: overrides[-1] if len(overrides) < 4 else "everything"
)
def test_a_snapshot_comes_back_as_it_was(overrides):
    _, snapshot = begun(*overrides)
    arrays = to_arrays(snapshot)
    training, _, planner, fresh = parts(*overrides)
    back = from_arrays(arrays, fresh, planner, training.exploration)
    again = to_arrays(back)
    assert again.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(again[name], values)
        assert again[name].dtype == values.dtype
    # Nothing that the device holds is left out: types, shapes and weak types too, or the programs would be compiled again.
    assert jax.tree.map(jax.typeof, jax.tree.leaves(arrays_of(back.state))) == jax.tree.map(
        jax.typeof, jax.tree.leaves(arrays_of(snapshot.state))
    )
    assert back.episode.length == STEPS
    np.testing.assert_array_equal(back.episode.noise, snapshot.episode.noise)


def arrays_of(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]


def test_only_what_is_filled_of_the_replay_is_kept():
    _, snapshot = begun("planner=random", at_random=True)
    assert to_arrays(snapshot)["replay.transitions.reward"].shape == (STEPS,)


def test_the_next_steps_are_those_that_would_have_been():
    (training, planner, _, environment), snapshot = begun("planner=cem", "env=pendulum")
    arrays = to_arrays(snapshot)
    first = Collector(
        environment, planner, training.exploration, snapshot.env_steps, 0, snapshot.episode
    )
    first.restore(snapshot.state)
    went_on, _ = first.collect(snapshot.state, 5, at_random=False)
    _, _, _, fresh = parts("planner=cem", "env=pendulum")
    back = from_arrays(arrays, fresh, planner, training.exploration)
    second = Collector(
        environment, planner, training.exploration, back.env_steps, back.num_episodes, back.episode
    )
    second.restore(back.state)
    taken_up, _ = second.collect(back.state, 5, at_random=False)
    for one, other in zip(
        jax.tree.leaves(went_on.replay), jax.tree.leaves(taken_up.replay), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_an_episode_that_goes_otherwise_is_noticed():
    (training, planner, state, environment), snapshot = begun("planner=random", at_random=True)
    snapshot.episode.observations[3] = snapshot.episode.observations[3] + np.float32(1e-6)
    collector = Collector(environment, planner, training.exploration, STEPS, 0, snapshot.episode)
    with pytest.raises(NonDeterministicEnvironment, match="step 3 of the episode in flight"):
        collector.restore(state)
    collector.restore(state, tolerance=0.1)
    collector.restore(state, tolerance=float("inf"))


def test_seeds_of_episodes_are_not_those_of_evaluation():
    key = jax.random.key(0)
    seeds = [episode_seed(key, number) for number in range(5)]
    assert len(set(seeds)) == 5
    assert min(seeds) >= 2**20


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            ("model.num_members=1",),
            r"The checkpoint's state\.model.* is float32\(2.*, the config's float32\(1",
        ),
        (("model/value=none",), "is only in one of them"),
    ],
)
def test_a_snapshot_of_another_model_is_refused(other, message):
    without_bonus = (
        "planner=random",
        "training.disagreement_bonus=0",
    )  # which a single member cannot earn
    _, snapshot = begun(*without_bonus, at_random=True)
    training, _, planner, fresh = parts(*without_bonus, *other)
    with pytest.raises(ValueError, match=message):
        from_arrays(to_arrays(snapshot), fresh, planner, training.exploration)
