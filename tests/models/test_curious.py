"""Curiosity: rewards with a bonus for disagreement, and nothing else."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models import imagine
from mbrl.models.curious import curious
from mbrl.models.propagation import TSInfinity
from mbrl.models.reward import KnownReward
from mbrl.models.value import ZeroValue
from tests.models.small import NORMALISER, a_step, losses, small_model, some_transitions
from tests.quick import quick_jit

KEY = jax.random.key(3)
MODEL = small_model()
OBSERVATION, ACTION = a_step()[0], jnp.array(1)


@quick_jit
def step(model, state):
    return model.step(KEY, state, ACTION)


def rewarded(low: float, high: float):
    """MODEL, had rewards lain between these."""
    return MODEL.normalised(eqx.tree_at(lambda n: (n.reward_min, n.reward_max), NORMALISER, (jnp.float32(low), jnp.float32(high))))


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_bonus_is_disagreement_in_units_of_the_largest_reward_seen(scale):
    """Which is 8 here."""
    state = MODEL.encode(KEY, OBSERVATION)
    plain, excited = step(MODEL, state), step(curious(MODEL, scale), state)
    assert 0.01 < plain.disagreement < 1
    np.testing.assert_allclose(excited.reward - plain.reward, np.full(3, 8 * scale * plain.disagreement), rtol=1e-4)
    for name in ("state", "continuation", "disagreement"):
        np.testing.assert_array_equal(getattr(excited, name), getattr(plain, name))


@pytest.mark.parametrize(("low", "high", "bonus"), [(-2.0, 8.0, 4.0), (-8.0, -1.0, 4.0), (0.0, 0.0, 0.5)])
def test_the_largest_reward_is_the_largest_in_size_and_one_where_there_was_none(low, high, bonus):
    assert curious(rewarded(low, high), 0.5).bonus == bonus


def test_values_have_room_for_the_bonus():
    """Rewards of at most 8 and a bonus of 4 make 12: what values can be, and the unit of their network's output."""
    excited = curious(MODEL, 0.5)
    assert excited.normaliser.reward_max == 12
    assert excited.normaliser.reward_min == -2
    state = MODEL.encode(KEY, OBSERVATION)
    np.testing.assert_allclose(excited.value(state), np.asarray(MODEL.value(state)) * 12 / 8, rtol=1e-5)


def test_negative_rewards_are_made_up_for():
    """Rewards of at most -1 and a bonus of 4: a step may earn 3."""
    normaliser = curious(rewarded(-8.0, -1.0), 0.5).normaliser
    assert (normaliser.reward_min, normaliser.reward_max) == (-8, 3)


def test_the_model_itself_stays_as_it_is():
    excited = curious(MODEL, 0.5)
    assert MODEL.normaliser.reward_max == excited.inner.normaliser.reward_max - 4 == 8
    assert jax.tree.structure(excited.parts) == jax.tree.structure(MODEL.parts)
    for ours, theirs in zip(jax.tree.leaves(excited.parts), jax.tree.leaves(MODEL.parts), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert excited.num_members == MODEL.num_members
    assert excited.action_space == MODEL.action_space
    batch = some_transitions((3, 4))
    assert losses(excited, KEY, batch) == losses(MODEL, KEY, batch)


def test_a_plan_is_worth_its_bonuses_too():
    """The difference of two scores is the discounted sum of bonuses, where nothing ends and the end has no value."""
    reward = partial(KnownReward, lambda observation, action, next_observation: next_observation[0])
    model = small_model(reward=reward, value=ZeroValue, pessimism=0.0, propagation=TSInfinity(2))
    model = eqx.tree_at(lambda m: m.parts.termination.network.layers[-1].bias, model, jnp.full((3, 1), -1e4))
    excited, actions, discount = curious(model, 0.5), jnp.array([0, 2, 1]), 0.9
    keys = jax.random.split(KEY, 3)
    state, bonuses = model.encode(KEY, OBSERVATION), []
    for key, action in zip(keys, actions, strict=True):
        prediction = model.step(key, state, action)
        state = prediction.state
        bonuses.append(4 * float(prediction.disagreement))
    scores = [
        float(quick_jit(imagine.score)(KEY, each, imagine.begin(KEY, each, OBSERVATION), actions, discount)) for each in (excited, model)
    ]
    np.testing.assert_allclose(scores[0] - scores[1], np.sum(bonuses * discount ** np.arange(3)), rtol=1e-3)


def test_another_scale_of_the_data_keeps_the_bonus():
    excited = curious(MODEL, 0.5).normalised(NORMALISER)
    assert excited.bonus == 4
    assert excited.normaliser.reward_max == 8
