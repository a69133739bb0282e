"""The replay buffer against a Python list of transitions."""

import equinox as eqx
import jax
import numpy as np
import pytest

from mbrl.data.replay import ReplayBuffer, init_replay
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete, Transition

SIZE = 2  # entries of an observation


@pytest.fixture(
    params=[Discrete(3), Box(2), MultiDiscrete((3, 2))], ids=["discrete", "box", "multi_discrete"]
)
def action_space(request) -> AbstractActionSpace:
    return request.param


def numbered(first: int, number: int, action_space: AbstractActionSpace) -> Transition:
    """Distinct transitions: number n has n in every field."""
    n = np.arange(first, first + number)
    observation = np.stack([n, -n], axis=1).astype(np.float32)
    whole = np.stack([n % 3, n % 2], axis=1).astype(np.int32)
    action = {Discrete: whole[:, 0], Box: observation / 1000, MultiDiscrete: whole}[
        type(action_space)
    ]
    return Transition(
        observation, action, n.astype(np.float32), observation + 0.5, n % 5 == 0, n % 7 == 0
    )


def rows(transitions: Transition) -> list[dict]:
    columns = (np.asarray(leaf).tolist() for leaf in transitions)
    return [Transition(*row)._asdict() for row in zip(*columns, strict=True)]


def contents(replay: ReplayBuffer) -> list[dict]:
    """The valid transitions, sorted by their number."""
    held = [
        row
        for row, valid in zip(rows(replay.transitions), np.asarray(replay.valid), strict=True)
        if valid
    ]
    return sorted(held, key=lambda row: row["reward"])


add = eqx.filter_jit(ReplayBuffer.add)
sample = eqx.filter_jit(ReplayBuffer.sample)


@pytest.mark.parametrize(
    "batches", [[3], [3, 4], [10], [4, 4, 4], [10, 3], [4, 10, 3, 3, 4]], ids=str
)
def test_the_buffer_holds_the_latest_transitions(batches, action_space):
    replay, expected, added = init_replay(10, SIZE, action_space), [], 0
    for number in batches:
        batch = numbered(added, number, action_space)
        replay, expected, added = add(replay, batch), (expected + rows(batch))[-10:], added + number
        assert contents(replay) == expected
        assert int(replay.size) == len(expected)
        assert int(replay.num_added) == added


@pytest.mark.parametrize("batches", [[3], [10], [4, 4, 4], [10, 3], [4, 10, 3, 3, 4]], ids=str)
def test_insertion_indices_count_the_transitions_added_before(batches):
    """Number n has n in its reward."""
    replay, added = init_replay(10, SIZE, Discrete(3)), 0
    for number in batches:
        replay, added = add(replay, numbered(added, number, Discrete(3))), added + number
        valid = np.asarray(replay.valid)
        np.testing.assert_array_equal(
            np.asarray(replay.insertion_index)[valid],
            np.asarray(replay.transitions.reward)[valid],
        )


def test_adding_compiles_once_whatever_the_size():
    compiled = []

    @eqx.filter_jit
    def counting_add(replay, batch):
        compiled.append(1)
        return replay.add(batch)

    replay = init_replay(8, SIZE, Discrete(3))
    for first in range(0, 15, 3):
        replay = counting_add(replay, numbered(first, 3, Discrete(3)))
    assert len(compiled) == 1
    assert [row["reward"] for row in contents(replay)] == list(range(7, 15))


def test_a_batch_larger_than_the_capacity_is_refused():
    with pytest.raises(
        ValueError, match=r"training.replay_capacity=10: must be at least 11, .* Raise it"
    ):
        init_replay(10, SIZE, Discrete(3)).add(numbered(0, 11, Discrete(3)))


@pytest.mark.parametrize(
    ("batches", "held"),
    [([4], [0, 1, 2, 3]), ([10], list(range(10))), ([10, 4], list(range(4, 14)))],
)
def test_samples_are_uniform_over_the_valid_transitions_and_complete(batches, held):
    replay = init_replay(10, SIZE, Box(2))
    for first, number in zip([0, *batches], batches, strict=False):
        replay = add(replay, numbered(first, number, Box(2)))
    samples = sample(replay, jax.random.key(0), (10000,))
    found, counts = np.unique(samples.reward, return_counts=True)
    assert found.tolist() == held
    # Binomial: the standard deviation is less than the root of the mean. Five of them.
    np.testing.assert_allclose(counts, 10000 / len(held), atol=5 * np.sqrt(10000 / len(held)))
    expected = {row["reward"]: row for row in rows(numbered(0, 14, Box(2)))}
    assert all(
        row == expected[row["reward"]]
        for row in rows(jax.tree.map(lambda leaf: leaf[:50], jax.device_get(samples)))
    )


def test_samples_have_the_given_shape_and_depend_on_the_key():
    replay = add(init_replay(10, SIZE, Box(2)), numbered(0, 10, Box(2)))
    first, again, other = (sample(replay, jax.random.key(key), (3, 4)) for key in (0, 0, 1))
    assert {leaf.shape[:2] for leaf in jax.tree.leaves(first)} == {(3, 4)}
    np.testing.assert_array_equal(first.reward, again.reward)
    assert not np.array_equal(first.reward, other.reward)


def test_an_empty_buffer_has_the_environments_shapes_and_dtypes(action_space):
    replay = init_replay(5, SIZE, action_space)
    action = action_space.sample(jax.random.key(0))
    assert replay.transitions.action.shape == (5, *action.shape)
    assert replay.transitions.action.dtype == action.dtype
    assert (
        replay.transitions.observation.shape
        == replay.transitions.next_observation.shape
        == (5, SIZE)
    )
    assert int(replay.size) == 0
    assert not replay.valid.any()
