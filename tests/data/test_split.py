"""The split against lists of what is trained on and what is held out."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.data.replay import ReplayBuffer, init_replay
from mbrl.data.split import Split, sample, split
from mbrl.types import Discrete, Transition

KEY = jax.random.key(5)
MEMBERS = 3
SHARE = 0.25


def numbered(first: int, number: int) -> Transition:
    """Transitions that can be told apart: number n carries n in every field."""
    n = np.arange(first, first + number)
    observation = n[:, None].astype(np.float32)
    return Transition(
        observation,
        n.astype(np.int32),
        n.astype(np.float32),
        observation + 0.5,
        n % 5 == 0,
        n % 7 == 0,
    )


def replay_of(number: int, capacity: int, batch: int = 10) -> ReplayBuffer:
    """After `number` transitions, added a few at a time."""
    replay = init_replay(capacity, 1, Discrete(2))
    for first in range(0, number, batch):
        replay = add(replay, numbered(first, min(batch, number - first)))
    return replay


add = eqx.filter_jit(ReplayBuffer.add)


@eqx.filter_jit
def _split(key, replay, validation_fraction, bootstrap, num_members=MEMBERS):
    return split(key, replay, num_members, validation_fraction, bootstrap)


def sides(
    replay: ReplayBuffer, bootstrap: bool = False, share: float = SHARE, key: jax.Array = KEY
) -> tuple[list[dict], dict]:
    """How often each transition, by its number, stands in each member's training set; and in the held-out one."""
    found: Split = _split(key, replay, share, bootstrap)
    numbers = np.asarray(replay.transitions.reward).astype(int)

    def copies(totals):
        counts = np.diff(np.asarray(totals), prepend=0)
        assert np.all(counts[~np.asarray(replay.valid)] == 0), (
            "an empty place holds nothing to learn from"
        )
        return {
            int(number): int(count) for number, count in zip(numbers, counts, strict=True) if count
        }

    return [copies(totals) for totals in found.training], copies(found.held_out[0])


@pytest.mark.parametrize("number", [30, 50, 130], ids=["part full", "full", "wrapped around"])
def test_without_bootstrap_every_member_trains_once_on_all_that_is_not_held_out(number):
    training, held_out = sides(replay_of(number, 50))
    held = range(max(0, number - 50), number)
    assert 0 < len(held_out) < len(held)
    assert set(held_out.values()) == {1}
    for member in training:
        assert member == {n: 1 for n in held if n not in held_out}


@pytest.mark.parametrize(("ends", "repeats"), [(1, 11), (2, 5), (4, 2), (10, 1), (50, 1), (100, 1)])
def test_steps_that_end_a_task_are_repeated_up_to_a_tenth_of_all(ends, repeats):
    """A ninth of the 99 others is 11; a bootstrap sample has the same as before, each so many times."""
    replay = replay_of(100, 200)
    replay = ReplayBuffer(
        replay.transitions._replace(terminated=jnp.arange(200) < ends), replay.num_added
    )
    for bootstrap in (False, True):
        training, held_out = sides(replay, bootstrap)
        unrepeated, _ = sides(
            ReplayBuffer(
                replay.transitions._replace(terminated=jnp.zeros(200, bool)), replay.num_added
            ),
            bootstrap,
        )
        assert set(held_out.values()) == {1}
        for member, plain in zip(training, unrepeated, strict=True):
            assert member == {n: count * (repeats if n < ends else 1) for n, count in plain.items()}


@pytest.mark.parametrize("number", [30, 130], ids=["part full", "wrapped around"])
def test_with_bootstrap_nobody_trains_on_what_is_held_out(number):
    replay = replay_of(number, 50)
    _, held_out_without = sides(replay)
    training, held_out = sides(replay, bootstrap=True)
    assert held_out == held_out_without
    assert all(member.keys().isdisjoint(held_out) for member in training)


@pytest.mark.parametrize("bootstrap", [False, True])
def test_a_transition_stays_on_its_side_as_the_replay_grows_and_after_it_wraps_around(bootstrap):
    """As in one that is never full."""
    all_training, all_held_out = sides(replay_of(130, 200), bootstrap)
    for number, capacity in ((20, 50), (40, 50), (50, 50), (51, 50), (130, 50), (130, 131)):
        training, held_out = sides(
            replay_of(number, capacity, batch=1 if number == 51 else 10), bootstrap
        )
        held = range(max(0, number - capacity), number)
        assert held_out == {n: count for n, count in all_held_out.items() if n in held}
        assert training == [
            {n: count for n, count in member.items() if n in held} for member in all_training
        ]


def test_each_number_has_the_luck_of_its_own():
    """A ring that has wrapped around holds out other places than before."""
    first, second = (set(sides(replay_of(number, 50))[1]) for number in (50, 100))
    assert {n + 50 for n in first} != second
    assert set(sides(replay_of(50, 50), key=jax.random.key(6))[1]) != first


def a_large_replay(number: int) -> ReplayBuffer:
    replay = init_replay(number, 1, Discrete(2))
    return ReplayBuffer(
        replay.transitions._replace(reward=jnp.arange(number, dtype=float)),
        jnp.asarray(number, jnp.int32),
    )


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_is_about_what_was_asked_for(share):
    _, held_out = sides(a_large_replay(4000), share=share)
    # Binomial: the standard deviation is at most √(0.25 / 4000) = 0.0079. Five of them.
    np.testing.assert_allclose(
        len(held_out) / 4000, share, atol=5 * np.sqrt(share * (1 - share) / 4000)
    )


def test_bootstrap_counts_are_poissons_with_mean_1_and_each_members_own():
    training, held_out = sides(a_large_replay(4000), bootstrap=True)
    trained = [n for n in range(4000) if n not in held_out]
    counts = np.array([[member.get(n, 0) for n in trained] for member in training])
    size = len(trained)
    for copies, probability in enumerate(np.exp(-1) / np.array([1, 1, 2, 6, 24])):
        # Binomial with each probability; five standard deviations.
        np.testing.assert_allclose(
            np.mean(counts == copies, axis=1), probability, atol=5 * np.sqrt(probability / size)
        )
    np.testing.assert_allclose(counts.mean(1), 1, atol=5 / np.sqrt(size))
    np.testing.assert_allclose(np.corrcoef(counts) - np.eye(MEMBERS), 0, atol=5 / np.sqrt(size))


@pytest.mark.parametrize("number", [1, 2])
def test_an_empty_side_makes_do_with_all_there_is(number):
    """Of one or two transitions, over many keys, every way of having none on a side comes up."""
    replay, everything = replay_of(number, 10), dict.fromkeys(range(number), 1)
    for seed in range(30):
        training, held_out = sides(replay, bootstrap=True, share=0.5, key=jax.random.key(seed))
        assert held_out
        assert all(training)
        for member in training:
            assert member.keys().isdisjoint(held_out) or everything in (member, held_out)


def test_samples_come_as_often_as_the_sets_have_them_and_whole():
    """Against lists in which a transition stands as often as it counts."""
    replay, sets = replay_of(8, 10, batch=4), [[1, 1, 1, 4], [0, 7], [3, 3, 5, 6, 6, 6, 6, 6]]
    counts = np.array([np.bincount(numbers, minlength=10) for numbers in sets])
    drawn = eqx.filter_jit(sample)(
        KEY, replay, jnp.asarray(np.cumsum(counts, axis=1), jnp.int32), 4000
    )
    assert drawn.observation.shape == (3, 4000, 1)
    for numbers, count in zip(np.asarray(drawn.reward).astype(int), counts, strict=True):
        # Binomial: the standard deviation is at most √(0.25 / 4000) = 0.0079. Five of them; and none of what is not in the set.
        shares = np.bincount(numbers, minlength=10) / 4000
        np.testing.assert_allclose(shares, count / count.sum(), atol=0.04)
        assert np.all(shares[count == 0] == 0)
    n = np.asarray(drawn.reward)
    np.testing.assert_array_equal(drawn.observation[..., 0], n)
    np.testing.assert_array_equal(drawn.action, n)
    np.testing.assert_array_equal(drawn.next_observation[..., 0], n + 0.5)
    np.testing.assert_array_equal(drawn.terminated, n % 5 == 0)
    np.testing.assert_array_equal(drawn.truncated, n % 7 == 0)


def test_samples_follow_the_key_and_sets_draw_each_for_itself():
    replay, totals = replay_of(10, 10), jnp.tile(jnp.arange(1, 11), (2, 1))
    first, again, other = (
        sample(jax.random.key(seed), replay, totals, 20).reward for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])
