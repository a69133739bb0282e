"""Learned and known rewards."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.ensemble.reward import KnownReward, LearnedReward
from tests.models.small import (
    NORMALISER,
    SIZES,
    example_step,
    losses,
    num_parameters,
    random_transitions,
    small_model,
    weighted,
    zeroed,
)

REWARD = weighted(lambda: LearnedReward(**SIZES, key=jax.random.key(0), width=8))

CONTINUES, ENDS = jnp.array(1.0), jnp.array(0.0)  # continuations
FALSE, TRUE = jnp.array(False), jnp.array(True)  # whether the step terminated the episode


@pytest.mark.parametrize(("continuation", "reward"), [(1.0, 3.0), (0.0, 7.0), (0.75, 4.0)])
def test_a_zero_network_mixes_the_mean_rewards_by_the_continuation(continuation, reward):
    """Nonterminal steps earn 3 on average, terminal ones 7."""
    assert zeroed(REWARD)(NORMALISER, *example_step(), jnp.array(continuation)) == reward


def test_a_zero_networks_loss_is_the_square_of_the_normalised_reward():
    """A reward of 5: (5 - 3) / 4 as a nonterminal one, (5 - 7) / 0.5 as a terminal one."""
    assert zeroed(REWARD).loss(NORMALISER, *example_step(), jnp.array(5.0), FALSE) == 0.25
    assert zeroed(REWARD).loss(NORMALISER, *example_step(), jnp.array(5.0), TRUE) == 16.0


@pytest.mark.parametrize(
    ("continuation", "terminated", "std"),
    [(CONTINUES, FALSE, 4.0), (ENDS, TRUE, 0.5)],
    ids=["continues", "ends"],
)
def test_the_loss_is_zero_only_for_the_right_prediction(continuation, terminated, std):
    predicted = REWARD(NORMALISER, *example_step(), continuation)
    np.testing.assert_allclose(
        REWARD.loss(NORMALISER, *example_step(), predicted, terminated), 0, atol=1e-10
    )
    np.testing.assert_allclose(
        REWARD.loss(NORMALISER, *example_step(), predicted + std, terminated), 1.0, rtol=1e-5
    )


def test_a_terminal_reward_is_earned_once_in_expectation():
    """A terminal reward of 7 with probability 0.1 per step is worth 7, however long the wait."""
    continuation = jnp.array(0.9)
    per_step = zeroed(REWARD)(NORMALISER, *example_step(), continuation)
    total = sum(0.9**t * float(per_step - continuation * 3.0) for t in range(1000))
    np.testing.assert_allclose(total, 7.0, rtol=1e-4)


@pytest.mark.parametrize("continuation", [CONTINUES, ENDS], ids=["continues", "ends"])
@pytest.mark.parametrize("argument", [0, 1, 2], ids=["observation", "action", "next observation"])
def test_the_prediction_depends_on_the_whole_step(argument, continuation):
    gradient = jax.grad(lambda *step: REWARD(NORMALISER, *step, continuation), argument)(
        *example_step()
    )
    assert np.abs(gradient).min() > 0


def test_a_known_reward_is_its_function_of_the_step():
    known = KnownReward(
        lambda observation, action, next_observation: (
            100 * observation[3] + 10 * action[1] + next_observation[0]
        )
    )
    assert known(NORMALISER, *example_step(), CONTINUES) == 211.0


def test_a_known_range_widens_the_reward_bounds_and_never_narrows_them():
    """Rewards seen: from -2 to 8, terminal ones from -1 to 4."""

    def bounds(range):
        model = small_model(
            reward=partial(
                KnownReward,
                lambda observation, action, next_observation: next_observation[0],
                range,
            )
        )
        normaliser = model.with_normaliser(NORMALISER).normaliser
        return tuple(
            float(getattr(normaliser, name))
            for name in ("reward_min", "reward_max", "terminal_reward_min", "terminal_reward_max")
        )

    assert bounds(None) == (-2, 8, -1, 4)
    assert bounds([0.0, 100.0]) == (-2, 100, -1, 100)
    assert bounds([-3, 1]) == (-3, 8, -3, 4)


def test_a_learned_reward_keeps_the_bounds_seen():
    normaliser = small_model().with_normaliser(NORMALISER).normaliser
    assert (normaliser.reward_min, normaliser.reward_max) == (-2, 8)


def test_a_missing_reward_function_is_refused():
    with pytest.raises(
        ValueError,
        match=r"env.known_reward=null: model/reward=known .* Choose .* model/reward=learned\.$",
    ):
        KnownReward(None, **SIZES, key=jax.random.key(0))


def test_a_misspelt_setting_of_a_known_reward_is_refused():
    with pytest.raises(TypeError, match="funtion"):
        KnownReward(lambda *step: jnp.zeros(()), funtion=None)


def test_a_known_reward_has_no_parameters():
    known = partial(KnownReward, lambda observation, action, next_observation: next_observation[0])
    model = small_model(reward=known)
    assert num_parameters(model.components.reward) == 0
    assert losses(model, jax.random.key(0), random_transitions((3, 5)))["loss/reward"] == 0
