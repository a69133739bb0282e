"""Training and validation sets against lists of transitions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.data.split import Split, sample, split
from mbrl.data.transitions import Transitions
from mbrl.types import Transition
from tests.data.made import all_valid, replay_of

KEY = jax.random.key(5)
MEMBERS = 3
FRACTION = 0.25


def numbered(number: int) -> Transition:
    """Distinct transitions: number n has n in every field."""
    n = np.arange(number)
    observation = n[:, None].astype(np.float32)
    return Transition(
        observation,
        n.astype(np.int32),
        n.astype(np.float32),
        observation + 0.5,
        n % 5 == 0,
        n % 7 == 0,
    )


def collected(number: int, capacity: int, batch: int = 10) -> Transitions:
    """The flat view of a buffer to which `number` transitions were added in batches."""
    return replay_of(numbered(number), capacity, batch).transitions()


@eqx.filter_jit
def _split(key, data, validation_fraction, bootstrap, num_members=MEMBERS):
    return split(key, data, num_members, validation_fraction, bootstrap)


def sides(
    data: Transitions, bootstrap: bool = False, fraction: float = FRACTION, key: jax.Array = KEY
) -> tuple[list[dict], dict]:
    """How often each transition counts in each member's training set and in the validation set."""
    found: Split = _split(key, data, fraction, bootstrap)
    numbers = np.asarray(data.rows.reward).astype(int)

    def copies(cumulative_counts):
        counts = np.diff(np.asarray(cumulative_counts), prepend=0)
        assert np.all(counts[~np.asarray(data.valid)] == 0), (
            "indices without a transition count zero times"
        )
        return {int(numbers[index]): int(counts[index]) for index in np.flatnonzero(counts)}

    return [copies(member) for member in found.training], copies(found.held_out[0])


@pytest.mark.parametrize("number", [30, 50, 130], ids=["partly filled", "full", "wrapped around"])
def test_without_bootstrap_every_training_set_holds_each_other_transition_once(number):
    training, held_out = sides(collected(number, 50))
    held = range(max(0, number - 50), number)
    assert 0 < len(held_out) < len(held)
    assert set(held_out.values()) == {1}
    for member in training:
        assert member == {n: 1 for n in held if n not in held_out}


@pytest.mark.parametrize(
    ("num_terminal", "repeats"), [(1, 11), (2, 5), (4, 2), (10, 1), (50, 1), (100, 1)]
)
def test_terminal_transitions_are_oversampled_up_to_a_tenth(num_terminal, repeats):
    """A ninth of the 99 others is 11. Bootstrap counts are multiplied."""
    some, none = (
        all_valid(numbered(100)._replace(terminated=np.arange(100) < number), 200)
        for number in (num_terminal, 0)
    )
    for bootstrap in (False, True):
        training, held_out = sides(some, bootstrap)
        plain_training, _ = sides(none, bootstrap)
        assert set(held_out.values()) == {1}
        for member, plain in zip(training, plain_training, strict=True):
            assert member == {
                n: count * (repeats if n < num_terminal else 1) for n, count in plain.items()
            }


@pytest.mark.parametrize("number", [30, 130], ids=["partly filled", "wrapped around"])
def test_with_bootstrap_no_member_trains_on_the_validation_set(number):
    data = collected(number, 50)
    _, held_out_without = sides(data)
    training, held_out = sides(data, bootstrap=True)
    assert held_out == held_out_without
    assert all(member.keys().isdisjoint(held_out) for member in training)


@pytest.mark.parametrize("bootstrap", [False, True])
def test_a_transition_stays_in_its_sets_as_the_buffer_grows_and_wraps_around(bootstrap):
    """The same as in a buffer that is never full."""
    all_training, all_held_out = sides(collected(130, 200), bootstrap)
    for number, capacity in ((20, 50), (40, 50), (50, 50), (51, 50), (130, 50), (130, 131)):
        training, held_out = sides(
            collected(number, capacity, batch=1 if number == 51 else 10), bootstrap
        )
        held = range(max(0, number - capacity), number)
        assert held_out == {n: count for n, count in all_held_out.items() if n in held}
        assert training == [
            {n: count for n, count in member.items() if n in held} for member in all_training
        ]


def test_the_side_depends_on_insertion_index_and_key():
    """After wrapping around, other indices of the buffer are held out."""
    first, second = (set(sides(collected(number, 50))[1]) for number in (50, 100))
    assert {n + 50 for n in first} != second
    assert set(sides(collected(50, 50), key=jax.random.key(6))[1]) != first


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_the_validation_set_has_about_the_given_fraction(fraction):
    _, held_out = sides(all_valid(numbered(4000)), fraction=fraction)
    # Binomial: the standard deviation is at most √(0.25 / 4000) = 0.0079. Five of them.
    np.testing.assert_allclose(
        len(held_out) / 4000, fraction, atol=5 * np.sqrt(fraction * (1 - fraction) / 4000)
    )


def test_bootstrap_counts_are_poisson_with_mean_1_and_independent():
    training, held_out = sides(all_valid(numbered(4000)), bootstrap=True)
    trained = [n for n in range(4000) if n not in held_out]
    counts = np.array([[member.get(n, 0) for n in trained] for member in training])
    size = len(trained)
    for copies, probability in enumerate(np.exp(-1) / np.array([1, 1, 2, 6, 24])):
        # Binomial: five standard deviations.
        np.testing.assert_allclose(
            np.mean(counts == copies, axis=1), probability, atol=5 * np.sqrt(probability / size)
        )
    np.testing.assert_allclose(counts.mean(1), 1, atol=5 / np.sqrt(size))
    np.testing.assert_allclose(np.corrcoef(counts) - np.eye(MEMBERS), 0, atol=5 / np.sqrt(size))


@pytest.mark.parametrize("number", [1, 2])
def test_an_empty_set_holds_all_transitions_instead(number):
    """With one or two transitions and many keys, each set is empty sometimes."""
    data, everything = all_valid(numbered(number), 10), dict.fromkeys(range(number), 1)
    for seed in range(30):
        training, held_out = sides(data, bootstrap=True, fraction=0.5, key=jax.random.key(seed))
        assert held_out
        assert all(training)
        for member in training:
            assert member.keys().isdisjoint(held_out) or everything in (member, held_out)


def test_samples_are_as_frequent_as_in_the_sets_and_complete():
    """Against lists that repeat a transition as often as it counts."""
    data, sets = all_valid(numbered(8), 10), [[1, 1, 1, 4], [0, 7], [3, 3, 5, 6, 6, 6, 6, 6]]
    counts = np.array([np.bincount(numbers, minlength=10) for numbers in sets])
    samples = eqx.filter_jit(sample)(
        KEY, data, jnp.asarray(np.cumsum(counts, axis=1), jnp.int32), 4000
    )
    assert samples.observation.shape == (3, 4000, 1)
    for numbers, count in zip(np.asarray(samples.reward).astype(int), counts, strict=True):
        # Binomial: the standard deviation is at most √(0.25 / 4000) = 0.0079. Five of them.
        frequencies = np.bincount(numbers, minlength=10) / 4000
        np.testing.assert_allclose(frequencies, count / count.sum(), atol=0.04)
        assert np.all(frequencies[count == 0] == 0)
    n = np.asarray(samples.reward)
    np.testing.assert_array_equal(samples.observation[..., 0], n)
    np.testing.assert_array_equal(samples.action, n)
    np.testing.assert_array_equal(samples.next_observation[..., 0], n + 0.5)
    np.testing.assert_array_equal(samples.terminated, n % 5 == 0)
    np.testing.assert_array_equal(samples.truncated, n % 7 == 0)


def test_samples_depend_on_the_key_and_differ_between_sets():
    data, counts = all_valid(numbered(10)), jnp.tile(jnp.arange(1, 11), (2, 1))
    first, again, other = (
        sample(jax.random.key(seed), data, counts, 20).reward for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])
