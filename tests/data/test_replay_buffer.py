"""The replay buffer against Python lists of episodes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.data.replay_buffer import ReplayBuffer, TimeStep, init_replay
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete

KEY = jax.random.key(0)
CAPACITY = 12  # time steps of an environment
PADDED = 2 * CAPACITY  # rows of every call of `add`
SPEC = {"image": jax.ShapeDtypeStruct((2, 2), np.uint8), "speed": jax.ShapeDtypeStruct((), "f4")}

add = eqx.filter_jit(ReplayBuffer.add)
transitions = eqx.filter_jit(ReplayBuffer.transitions)
sample = eqx.filter_jit(ReplayBuffer.sample)


@pytest.fixture(
    params=[Discrete(3), Box(2), MultiDiscrete((3, 2))], ids=["discrete", "box", "multi_discrete"]
)
def action_space(request) -> AbstractActionSpace:
    return request.param


class Recorder:
    """An environment that counts: what its run gives the buffer, and what it should hold.

    Observation n is `n` in every entry; the action at it, and its reward, have the number n.
    """

    def __init__(self, lengths: list[int], action_space: AbstractActionSpace):
        self.lengths, self.action_space = lengths, action_space
        self.number, self.step, self.episode = 0, 0, 0
        self.new: list[TimeStep] = []
        self.steps: list[TimeStep] = []
        self.pairs: list[tuple[int, int]] = []  # numbers of the observations of each transition

    def observation(self) -> dict[str, np.ndarray]:
        image = np.full((2, 2), self.number % 256, np.uint8)
        return {"image": image, "speed": np.float32(self.number)}

    def act(self) -> None:
        """One real step, and the last time step if the episode ends."""
        length = self.lengths[self.episode % len(self.lengths)]
        action = self.action_space.sample(jax.random.fold_in(KEY, self.number))
        ends = self.step + 1 == length
        terminated, truncated = ends and length % 2 == 0, ends and length % 2 == 1
        extras = {"weights": np.full(3, self.number, np.float32)}
        outcome = (np.float32(self.number), terminated, truncated)
        self._append(TimeStep(self.observation(), action, *outcome, self.step == 0, False, extras))
        self.pairs.append((self.number, self.number + 1))
        self.number, self.step = self.number + 1, self.step + 1
        if ends:
            nothing = (jnp.zeros_like(action), np.float32(0), False, False)
            extras = {"weights": np.zeros(3, np.float32)}
            self._append(TimeStep(self.observation(), *nothing, False, True, extras))
            self.number, self.step, self.episode = self.number + 1, 0, self.episode + 1

    def _append(self, step: TimeStep) -> None:
        self.new.append(step)
        self.steps.append(step)


def add_new(replay: ReplayBuffer, recorders: list[Recorder]) -> ReplayBuffer:
    """Adds all that is new, padded to a constant number of rows."""

    def padded(*values):
        rows = np.zeros((PADDED, *np.shape(values[0])), np.asarray(values[0]).dtype)
        rows[: len(values)] = values
        return rows

    columns = [jax.tree.map(padded, *each.new) for each in recorders]
    steps = jax.tree.map(lambda *leaves: np.stack(leaves), *columns)
    present = jax.tree.map(
        lambda *all_: np.stack(all_), *(each.observation() for each in recorders)
    )
    counts = np.array([len(each.new) for each in recorders])
    for each in recorders:
        each.new = []
    return add(replay, steps, counts, present)


def recorded(phases: list[int], action_space: AbstractActionSpace, num_envs: int = 1):
    """A buffer after phases of so many real steps, and the recorders of its environments."""
    recorders = [Recorder([3 + env, 1, 4], action_space) for env in range(num_envs)]
    extras = {"weights": jax.ShapeDtypeStruct((3,), jnp.float32)}
    replay = init_replay(CAPACITY * num_envs, SPEC, action_space, num_envs, extras)
    for num_steps in phases:
        for recorder in recorders:
            for _ in range(num_steps):
                recorder.act()
        replay = add_new(replay, recorders)
    return replay, recorders


PHASES = [[2], [3], [4, 3], [1] * 9, [9, 9], [5, 12, 2, 6]]


@pytest.mark.parametrize("phases", PHASES, ids=str)
@pytest.mark.parametrize("num_envs", [1, 3])
def test_the_flat_view_holds_the_newest_transitions(phases, num_envs, action_space):
    replay, recorders = recorded(phases, action_space, num_envs)
    data = transitions(replay)
    rows = jax.tree.map(lambda leaf: np.asarray(leaf)[np.asarray(data.valid)], data.rows)
    index = np.asarray(data.insertion_index)[np.asarray(data.valid)]
    assert data.rows.observation["image"].dtype == np.uint8
    assert len(set(index)) == len(index)
    for env, recorder in enumerate(recorders):
        held = recorder.steps[-CAPACITY:]
        taken = [step for step in recorder.steps if not step.is_last]
        expected = taken[len(taken) - sum(not step.is_last for step in held) :]
        order = np.argsort(index[index % num_envs == env])
        mine = jax.tree.map(lambda leaf: leaf[index % num_envs == env][order], rows)  # noqa: B023
        numbers = [float(step.reward) for step in expected]
        np.testing.assert_array_equal(mine.reward, numbers)
        np.testing.assert_array_equal(mine.observation["speed"], numbers)
        np.testing.assert_array_equal(
            mine.next_observation["image"][:, 1, 0], (np.array(numbers) + 1) % 256
        )
        for name in ("action", "terminated", "truncated"):
            values = [getattr(step, name) for step in expected]
            np.testing.assert_array_equal(getattr(mine, name), np.stack(values))
        # The number of each transition, among all of its environment.
        first = len(taken) - len(expected)
        np.testing.assert_array_equal(
            np.sort(index[index % num_envs == env]) // num_envs,
            first + np.arange(len(expected)),
        )


def test_without_overflow_transitions_are_in_the_order_in_which_they_were_collected():
    data = transitions(recorded([2, 6], Discrete(3))[0])
    assert int(data.size) == 8
    np.testing.assert_array_equal(data.insertion_index[:8], np.arange(8))


@pytest.mark.parametrize("phases", PHASES, ids=str)
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("length", [1, 3, 6])
def test_sequences_are_consecutive_and_never_cross_the_end_of_an_episode(phases, num_envs, length):
    replay, recorders = recorded(phases, Discrete(3), num_envs)
    steps, valid = sample(replay, KEY, 200, length)
    held = [step for recorder in recorders for step in recorder.steps[-CAPACITY:]]
    numbers = {float(step.observation["speed"]) for step in held}
    assert set(np.unique(steps.observation["speed"])) <= numbers
    starts = set()
    for row in range(200):
        size = int(valid[row].sum())
        assert size > 0
        assert valid[row, :size].all()
        speeds = np.asarray(steps.observation["speed"][row])
        np.testing.assert_array_equal(speeds[:size], speeds[0] + np.arange(size))
        np.testing.assert_array_equal(speeds[size:], speeds[size - 1])
        assert not steps.is_first[row, 1:size].any()
        assert not steps.is_last[row, : size - 1].any()
        # It is short only where the episode or the data ends.
        newest = [float(recorder.steps[-1].observation["speed"]) for recorder in recorders]
        assert size == length or steps.is_last[row, size - 1] or speeds[size - 1] in newest
        np.testing.assert_array_equal(
            steps.extras["weights"][row, :, 0], np.where(steps.is_last[row], 0, speeds)
        )
        starts.add(float(speeds[0]))
    assert starts == numbers


@pytest.mark.parametrize("phases", PHASES, ids=str)
@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_buffer_restored_from_the_host_continues_as_the_original(phases, num_envs, action_space):
    replay, recorders = recorded(phases, action_space, num_envs)
    empty, _ = recorded([], action_space, num_envs)
    saved = replay.to_host()
    size = sum(min(len(each.steps), CAPACITY) + 1 for each in recorders)
    assert {len(leaf) for leaf in jax.tree.leaves((saved.steps, saved.insertion_index))} == {size}
    for recorder in recorders:
        for _ in range(4):
            recorder.act()
    new = [list(each.new) for each in recorders]
    continued = add_new(replay, recorders)
    for recorder, steps in zip(recorders, new, strict=True):
        recorder.new = steps
    restored = add_new(empty.from_host(saved), recorders)
    both = (transitions(continued), transitions(restored))
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    both = (sample(continued, KEY, 50, 4), sample(restored, KEY, 50, 4))
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_observation_is_stored_once():
    replay = init_replay(1000, jax.ShapeDtypeStruct((64, 64, 3), jnp.uint8), Discrete(3))
    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(replay))
    assert num_bytes < 1.01 * 1001 * 64 * 64 * 3


def test_the_flat_view_samples_uniformly():
    data = transitions(recorded([2, 6], Discrete(3))[0])
    drawn = np.asarray(data.sample(KEY, (4000,)).reward)
    numbers, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(numbers, np.asarray(data.rows.reward[:8]))
    # 500 expected, standard deviation 21.
    assert np.all(np.abs(counts - 500) < 5 * 21)
