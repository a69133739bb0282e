"""Rewards, learned and known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.reward import KnownReward, LearnedReward
from tests.models.small import (
    NORMALISER,
    SIZES,
    a_step,
    losses,
    num_parameters,
    silenced,
    small_model,
    some_transitions,
    weighted,
)

REWARD = weighted(lambda: LearnedReward(**SIZES, key=jax.random.key(0), width=8))


GOES_ON, ENDS = jnp.array(1.0), jnp.array(0.0)  # continuations
FALSE, TRUE = jnp.array(False), jnp.array(True)  # whether the task ended


@pytest.mark.parametrize(("continuation", "reward"), [(1.0, 3.0), (0.0, 7.0), (0.75, 4.0)])
def test_a_silent_network_predicts_the_mean_reward_of_what_is_believed_to_come(
    continuation, reward
):
    """Steps that go on earn 3 in the mean, and last ones 7."""
    assert silenced(REWARD)(NORMALISER, *a_step(), jnp.array(continuation)) == reward


def test_a_silent_networks_loss_is_the_square_of_the_normalised_reward():
    """A reward of 5 is half a standard deviation of 4 above the mean of 3, and four of 0.5 below that of last steps, 7."""
    assert silenced(REWARD).loss(NORMALISER, *a_step(), jnp.array(5.0), FALSE) == 0.25
    assert silenced(REWARD).loss(NORMALISER, *a_step(), jnp.array(5.0), TRUE) == 16.0


@pytest.mark.parametrize(
    ("continuation", "terminated", "std"),
    [(GOES_ON, FALSE, 4.0), (ENDS, TRUE, 0.5)],
    ids=["goes on", "ends"],
)
def test_the_loss_is_zero_exactly_where_the_prediction_is_right(continuation, terminated, std):
    predicted = REWARD(NORMALISER, *a_step(), continuation)
    np.testing.assert_allclose(
        REWARD.loss(NORMALISER, *a_step(), predicted, terminated), 0, atol=1e-10
    )
    np.testing.assert_allclose(
        REWARD.loss(NORMALISER, *a_step(), predicted + std, terminated), 1.0, rtol=1e-5
    )


def test_a_prize_at_the_end_is_earned_once_in_all():
    """Before a goal that is believed to be reached with probability 0.1 a step, a prize of 7 is worth 7, for all the waiting there."""
    continuation = jnp.array(0.9)
    a_step_there = silenced(REWARD)(NORMALISER, *a_step(), continuation)
    waiting = sum(0.9**t * float(a_step_there - continuation * 3.0) for t in range(1000))
    np.testing.assert_allclose(waiting, 7.0, rtol=1e-4)


@pytest.mark.parametrize("continuation", [GOES_ON, ENDS], ids=["goes on", "ends"])
@pytest.mark.parametrize("argument", [0, 1, 2], ids=["observation", "action", "next observation"])
def test_the_prediction_depends_on_the_whole_step(argument, continuation):
    gradient = jax.grad(lambda *step: REWARD(NORMALISER, *step, continuation), argument)(*a_step())
    assert np.abs(gradient).min() > 0


def test_a_known_reward_is_its_function_of_the_step():
    known = KnownReward(
        lambda observation, action, next_observation: (
            100 * observation[3] + 10 * action[1] + next_observation[0]
        )
    )
    assert known(NORMALISER, *a_step(), GOES_ON) == 211.0


def test_a_known_range_of_rewards_widens_what_was_seen_and_never_narrows_it():
    """Rewards from -2 to 8 were seen, and at the end of a task from -1 to 4."""

    def seen_of(range):
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

    assert seen_of(None) == (-2, 8, -1, 4)
    assert seen_of([0.0, 100.0]) == (-2, 100, -1, 100)
    assert seen_of([-3, 1]) == (-3, 8, -3, 4)


def test_a_learned_rewards_range_is_what_was_seen():
    normaliser = small_model().with_normaliser(NORMALISER).normaliser
    assert (normaliser.reward_min, normaliser.reward_max) == (-2, 8)


def test_a_reward_that_nobody_knows_is_refused():
    with pytest.raises(
        ValueError,
        match=r"model/reward=known needs .* env.known_reward is null here: choose .* model/reward=learned\.$",
    ):
        KnownReward(None, **SIZES, key=jax.random.key(0))


def test_a_misspelt_setting_of_a_known_reward_is_refused():
    with pytest.raises(TypeError, match="funtion"):
        KnownReward(lambda *step: jnp.zeros(()), funtion=None)


def test_a_known_reward_has_nothing_to_learn():
    known = partial(KnownReward, lambda observation, action, next_observation: next_observation[0])
    model = small_model(reward=known)
    assert num_parameters(model.components.reward) == 0
    assert losses(model, jax.random.key(0), some_transitions((3, 5)))["loss/reward"] == 0
