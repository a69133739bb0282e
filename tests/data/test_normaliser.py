"""Statistics of the replay buffer against NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.data.normaliser import fit_normaliser, identity_normaliser
from mbrl.types import Transition
from tests.data.made import all_valid, replay_of

SIZE = 3
CAPACITY = 50


def random_transitions(number: int, seed: int = 0) -> Transition:
    generator = np.random.default_rng(seed)
    observation = generator.normal([1.0, -20.0, 0.0], [1.0, 5.0, 0.01], (number, SIZE)).astype(
        np.float32
    )
    change = generator.normal([0.0, 1.0, 0.1], [0.1, 2.0, 0.001], (number, SIZE)).astype(np.float32)
    reward = generator.normal(-3.0, 2.0, number).astype(np.float32)
    terminated = np.arange(number) % 3 == 0
    return Transition(
        observation,
        np.zeros(number, np.int32),
        reward,
        observation + change,
        terminated,
        np.zeros(number, bool),
    )


_fit = eqx.filter_jit(fit_normaliser)


def fit(rows: Transition, **settings):
    """The normaliser of these transitions."""
    return _fit(all_valid(rows, CAPACITY), **settings)


@pytest.mark.parametrize(
    "number", [7, CAPACITY, 60], ids=["partly filled", "full", "wrapped around"]
)
def test_statistics_match_numpys_over_the_replay_buffer(number):
    rows = random_transitions(number)
    normaliser = _fit(replay_of(rows, CAPACITY, batch=30).transitions())
    latest = jax.tree.map(lambda leaf: leaf[-CAPACITY:], rows)
    change = latest.next_observation.astype(np.float64) - latest.observation
    nonterminal, terminal = latest.reward[~latest.terminated], latest.reward[latest.terminated]
    assert terminal.size > 1
    columns = {
        "observation": latest.observation,
        "delta": change,
        "reward": nonterminal,
        "terminal_reward": terminal,
    }
    for name, values in columns.items():
        values = values.astype(np.float64)
        np.testing.assert_allclose(
            getattr(normaliser, f"{name}_mean"), values.mean(0), rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(getattr(normaliser, f"{name}_std"), values.std(0), rtol=1e-3)
    assert (normaliser.reward_min, normaliser.reward_max) == (nonterminal.min(), nonterminal.max())
    assert (normaliser.terminal_reward_min, normaliser.terminal_reward_max) == (
        terminal.min(),
        terminal.max(),
    )
    assert normaliser.seen_terminal
    np.testing.assert_allclose(
        normaliser.reward_rms, np.sqrt(np.mean(latest.reward.astype(np.float64) ** 2)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("terminated", "mean", "terminal_mean"),
    [(False, 300.0, 0.0), (True, 0.0, 300.0)],
    ids=["none terminal", "all terminal"],
)
def test_without_rewards_of_a_kind_its_mean_is_0(terminated, mean, terminal_mean):
    batch = random_transitions(50)._replace(
        terminated=np.full(50, terminated), reward=np.full(50, 300.0, np.float32)
    )
    normaliser = fit(batch)
    assert (normaliser.reward_mean, normaliser.reward_std) == (mean, 300)
    assert (normaliser.terminal_reward_mean, normaliser.terminal_reward_std) == (terminal_mean, 300)
    assert normaliser.seen_terminal == terminated


@pytest.mark.parametrize(
    ("nonterminal", "terminal", "expected"),
    [
        ([1.0], [1.0], (0, 10)),  # CartPole
        ([-1.0], [], (-10, 0)),  # MountainCar before the first goal
        ([-1.0], [-1.0], (-10, 0)),
        ([-0.1, 0.0], [99.0, 100.0], (-1, 100)),  # a goal reward
        ([0.0, 2.0], [-100.0], (-100, 20)),  # a penalty for failure
        ([], [3.0], (0, 3)),
    ],
)
def test_return_bounds_are_the_same_reward_for_ever_or_immediate_termination(
    nonterminal, terminal, expected
):
    rewards = np.array(nonterminal + terminal, np.float32)
    terminated = np.arange(len(rewards)) >= len(nonterminal)
    batch = random_transitions(len(rewards))._replace(reward=rewards, terminated=terminated)
    np.testing.assert_allclose(fit(batch).return_bounds(0.9), expected, rtol=1e-5)


def test_normalised_data_have_mean_0_and_standard_deviation_1():
    batch = random_transitions(50)
    normaliser = fit(batch)
    change = batch.next_observation - batch.observation

    @eqx.filter_jit
    @jax.vmap
    def normalise(observation, change, reward):
        return (
            normaliser.observation(observation),
            normaliser.delta(change),
            normaliser.reward(reward),
            normaliser.terminal_reward(reward),
        )

    observations, changes, rewards, terminal_rewards = normalise(
        batch.observation, change, batch.reward
    )
    for values in (
        observations,
        changes,
        rewards[~batch.terminated],
        terminal_rewards[batch.terminated],
    ):
        np.testing.assert_allclose(np.mean(values, 0), 0, atol=1e-3)
        np.testing.assert_allclose(np.std(values, 0), 1, atol=1e-3)


@pytest.mark.parametrize("constant", [0.0, 1.0, -0.1, 300.7, 1e5])
def test_constants_have_a_standard_deviation_of_1_and_rewards_of_the_largest(constant):
    """Rounding errors of the mean, which grow with the constant, do not count."""
    batch = random_transitions(50)
    observation = np.array(batch.observation)
    observation[:, 1] = constant
    batch = batch._replace(
        observation=observation,
        next_observation=observation + 1,
        reward=np.full(50, constant, np.float32),
    )
    normaliser = fit(batch)
    assert normaliser.observation_std[1] == 1
    assert normaliser.delta_std[1] == 1
    assert normaliser.reward_std == (abs(np.float32(constant)) or 1)
    np.testing.assert_allclose(
        normaliser.reward(jnp.float32(constant)), 0, atol=1e-6 * max(1, abs(constant))
    )


@pytest.mark.parametrize("unit", [2.0**-27, 2.0**-10, 2.0**27])
@pytest.mark.parametrize("constant", [False, True])
def test_rewards_in_another_unit_have_the_same_normalised_values(unit, constant):
    """Bit by bit, since a power of 2 only changes exponents."""
    batch = random_transitions(50)
    if constant:
        batch = batch._replace(reward=np.full(50, -0.3, np.float32))
    scaled = batch._replace(reward=batch.reward * np.float32(unit))
    one, other = fit(batch), fit(scaled)
    for name in ("reward", "terminal_reward"):
        rewards = jnp.asarray(batch.reward[0]), jnp.asarray(scaled.reward[0])
        np.testing.assert_array_equal(
            getattr(one, name)(rewards[0]), getattr(other, name)(rewards[1])
        )
    assert other.reward_unit == unit * one.reward_unit


def test_a_small_variation_far_from_zero_counts():
    batch = random_transitions(50)._replace(terminated=np.zeros(50, bool))
    reward = np.where(np.arange(50) % 2 == 0, 1000.0, 1000.5).astype(np.float32)
    np.testing.assert_allclose(fit(batch._replace(reward=reward)).reward_std, 0.25, rtol=1e-2)


def test_the_identity_normaliser_changes_nothing():
    normaliser = identity_normaliser(SIZE)
    observation = jnp.array([3.0, -4.0, 0.5])
    np.testing.assert_array_equal(normaliser.observation(observation), observation)
    np.testing.assert_array_equal(normaliser.delta(observation), observation)
    assert normaliser.reward(jnp.array(7.0)) == 7


@pytest.mark.parametrize("offset", [1.0, -100.0, 1000.0])
def test_a_constant_in_each_reward_is_centred_away_until_an_episode_terminates(offset):
    batch = random_transitions(50)._replace(terminated=np.zeros(50, bool))
    shifted = batch._replace(reward=batch.reward + np.float32(offset))
    one, other = (fit(each, center_rewards=True) for each in (batch, shifted))
    np.testing.assert_allclose(other.reward_offset - one.reward_offset, offset, rtol=1e-5)
    for name in ("reward_std", "reward_rms", "reward_min", "reward_max"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=2e-3)
    terminated = batch.terminated | (np.arange(50) == 7)
    for ended in (batch._replace(terminated=terminated), shifted._replace(terminated=terminated)):
        assert fit(ended, center_rewards=True).reward_offset == 0
    assert fit(shifted).reward_offset == 0


@pytest.mark.parametrize("constant", [0.0, -1.0, 300.7, 1e-7])
def test_constant_rewards_that_are_centred_keep_their_unit(constant):
    batch = random_transitions(50)._replace(
        terminated=np.zeros(50, bool), reward=np.full(50, constant, np.float32)
    )
    normaliser = fit(batch, center_rewards=True)
    unit = abs(np.float32(constant)) or 1
    assert (normaliser.reward_std, normaliser.reward_unit) == (unit, unit)
    np.testing.assert_allclose(normaliser.reward_offset, constant, rtol=1e-6)


def test_the_scale_of_a_constant_reward_is_its_own_size():
    batch = random_transitions(50)._replace(
        terminated=np.arange(50) < 2, reward=np.where(np.arange(50) < 2, -100, 1).astype(np.float32)
    )
    normaliser = fit(batch)
    assert (normaliser.reward_std, normaliser.terminal_reward_std) == (1, 100)
    varied = batch.reward + np.where(np.arange(50) % 2, 1e-3, 0).astype(np.float32)
    np.testing.assert_allclose(fit(batch._replace(reward=varied)).reward_std, 5e-4, rtol=1e-2)


def test_a_termination_that_left_the_buffer_still_counts():
    batch = random_transitions(50)._replace(terminated=np.zeros(50, bool))
    normaliser = fit(batch, center_rewards=True, seen_terminal=jnp.array(True))
    assert normaliser.seen_terminal
    assert normaliser.reward_offset == 0
