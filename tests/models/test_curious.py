"""Curiosity: rewards with a bonus for disagreement, and nothing else."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models import rollout
from mbrl.models.curious import curious, incurious
from mbrl.models.propagation import TSInfinity
from mbrl.models.reward import KnownReward
from mbrl.models.value import ZeroValue
from tests.models.small import NORMALISER, a_step, losses, small_model, some_transitions

KEY = jax.random.key(3)
MODEL = small_model()
OBSERVATION, ACTION = a_step()[0], jnp.array(1)


@eqx.filter_jit
def step(model, state):
    return model.step(KEY, state, ACTION)


def rewarded(low: float, high: float):
    """MODEL, had rewards been these two, one as often as the other."""
    seen = (jnp.float32(low), jnp.float32(high), jnp.sqrt(jnp.float32((low**2 + high**2) / 2)))
    return MODEL.with_normaliser(
        eqx.tree_at(lambda n: (n.reward_min, n.reward_max, n.reward_rms), NORMALISER, seen)
    )


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_bonus_is_disagreement_in_units_of_a_typical_reward(scale):
    """Which is 5 here."""
    state = MODEL.encode(KEY, OBSERVATION)
    plain, excited = step(MODEL, state), step(curious(MODEL, scale), state)
    assert 0.01 < plain.disagreement < 1
    np.testing.assert_allclose(
        excited.reward - plain.reward, np.full(3, 5 * scale * plain.disagreement), rtol=1e-4
    )
    for name in ("state", "continuation", "disagreement"):
        np.testing.assert_array_equal(getattr(excited, name), getattr(plain, name))


@pytest.mark.parametrize(
    ("low", "high", "bonus"), [(-1.0, 7.0, 2.5), (-7.0, -1.0, 2.5), (0.0, 0.0, 0.5)]
)
def test_a_typical_reward_is_the_root_mean_square_and_one_where_there_was_none(low, high, bonus):
    np.testing.assert_allclose(curious(rewarded(low, high), 0.5).bonus, bonus, rtol=1e-6)


def test_a_typical_reward_is_no_less_than_the_largest_cost_while_a_goal_is_awaited():
    """However long the agent has idled: costs were 0.25 at most, 0.05 typically."""
    idle = eqx.tree_at(
        lambda n: (n.reward_min, n.reward_max, n.reward_rms),
        NORMALISER,
        (jnp.float32(-0.25), jnp.float32(0.0), jnp.float32(0.05)),
    )
    assert curious(
        MODEL.with_normaliser(idle), 4.0, bonus_floor_until_first_termination=True
    ).bonus == np.float32(0.2)
    unended = eqx.tree_at(lambda n: n.seen_terminal, idle, jnp.array(False))
    assert curious(MODEL.with_normaliser(unended), 4.0).bonus == np.float32(0.2)
    assert (
        curious(MODEL.with_normaliser(unended), 4.0, bonus_floor_until_first_termination=True).bonus
        == 1
    )
    gains = eqx.tree_at(
        lambda n: (n.reward_min, n.reward_rms), unended, (jnp.float32(0.5), jnp.float32(2.0))
    )
    assert (
        curious(MODEL.with_normaliser(gains), 4.0, bonus_floor_until_first_termination=True).bonus
        == 8
    )


def test_values_have_room_for_the_bonus():
    """Rewards of at most 8, at the end 4, and a bonus of 2.5 make 10.5 and 6.5, which bound values; their output keeps its unit."""
    excited = curious(MODEL, 0.5)
    assert (excited.normaliser.reward_max, excited.normaliser.terminal_reward_max) == (10.5, 6.5)
    assert (excited.normaliser.reward_min, excited.normaliser.terminal_reward_min) == (-2, -1)
    state = MODEL.encode(KEY, OBSERVATION)
    np.testing.assert_array_equal(excited.value(state), MODEL.value(state))


def test_values_have_a_unit_where_no_reward_was_seen():
    """Else they would be zero, whatever the bonus."""
    silent = rewarded(0.0, 0.0)
    state = MODEL.encode(KEY, OBSERVATION)
    assert np.all(silent.value(state) == 0)
    assert np.all(curious(silent, 0.5).value(state) != 0)


def test_negative_rewards_are_made_up_for():
    """Rewards of at most -1 and a bonus of 2.5: a step may earn 1.5."""
    normaliser = curious(rewarded(-7.0, -1.0), 0.5).normaliser
    assert (normaliser.reward_min, normaliser.reward_max) == (-7, 1.5)


def test_caution_is_for_those_who_are_not_curious():
    cautious, state = small_model(uncertainty_penalty=2.0), MODEL.encode(KEY, OBSERVATION)
    careless, excited, as_it_is = (
        step(model, state)
        for model in (curious(MODEL, 0.5), curious(cautious, 0.5), incurious(cautious))
    )
    np.testing.assert_allclose(excited.reward, careless.reward, rtol=1e-5)
    assert excited.penalty == 0
    np.testing.assert_allclose(as_it_is.reward, step(cautious, state).reward, rtol=1e-5)
    assert as_it_is.penalty == step(cautious, state).penalty > 0


def test_what_members_disagree_on_is_not_marked_down():
    """The model takes standard deviations off; curiosity seeks what these tell of."""
    estimates = jnp.array([1.0, 4.0, 7.0])
    assert MODEL.aggregate(estimates) < 2
    assert curious(MODEL, 0.5).aggregate(estimates) == 4


def test_the_model_itself_stays_as_it_is():
    excited = curious(MODEL, 0.5)
    assert MODEL.normaliser.reward_max == excited.inner.normaliser.reward_max - 2.5 == 8
    assert jax.tree.structure(excited.parts) == jax.tree.structure(MODEL.parts)
    for ours, theirs in zip(
        jax.tree.leaves(excited.parts), jax.tree.leaves(MODEL.parts), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert excited.num_members == MODEL.num_members
    assert excited.action_space == MODEL.action_space
    batch = some_transitions((3, 4))
    assert losses(excited, KEY, batch) == losses(MODEL, KEY, batch)


def test_a_plan_is_worth_its_bonuses_too():
    """The difference of two scores is the discounted sum of bonuses, where nothing ends and the end has no value."""
    reward = partial(KnownReward, lambda observation, action, next_observation: next_observation[0])
    model = small_model(reward=reward, value=ZeroValue, pessimism=0.0, propagation=TSInfinity(2))
    model = eqx.tree_at(
        lambda m: m.parts.termination.network.layers[-1].bias, model, jnp.full((3, 1), -1e4)
    )
    excited, actions, discount = curious(model, 0.5), jnp.array([0, 2, 1]), 0.9
    keys = jax.random.split(KEY, 3)
    state, bonuses = model.encode(KEY, OBSERVATION), []
    for key, action in zip(keys, actions, strict=True):
        prediction = model.step(key, state, action)
        state = prediction.state
        bonuses.append(2.5 * float(prediction.disagreement))
    scores = [
        float(
            eqx.filter_jit(rollout.plan_return)(
                KEY, each, rollout.start(KEY, each, OBSERVATION), actions, discount
            )
        )
        for each in (excited, model)
    ]
    np.testing.assert_allclose(
        scores[0] - scores[1], np.sum(bonuses * discount ** np.arange(3)), rtol=1e-3
    )


def test_another_scale_of_the_data_keeps_the_bonus():
    excited = curious(MODEL, 0.5).with_normaliser(NORMALISER)
    assert excited.bonus == 2.5
    assert excited.normaliser.reward_max == 8
