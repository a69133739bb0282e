"""The disagreement bonus changes rewards, pessimism and reward bounds, and nothing else."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models import rollout
from mbrl.models.ensemble.bonus import with_bonus
from mbrl.models.ensemble.propagation import TSInfinity
from mbrl.models.ensemble.reward import KnownReward
from mbrl.models.value import ZeroValue
from tests.models.small import NORMALISER, example_step, losses, random_transitions, small_model

KEY = jax.random.key(3)
MODEL = small_model()
OBSERVATION, ACTION = example_step()[0], jnp.array(1)


@eqx.filter_jit
def step(model, state):
    return model.step(KEY, state, ACTION)


def model_with_rewards(low: float, high: float):
    """MODEL in the scale of data in which these two rewards are equally frequent."""
    seen = (jnp.float32(low), jnp.float32(high), jnp.sqrt(jnp.float32((low**2 + high**2) / 2)))
    return MODEL.with_normaliser(
        eqx.tree_at(lambda n: (n.reward_min, n.reward_max, n.reward_rms), NORMALISER, seen)
    )


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_bonus_is_disagreement_in_units_of_a_typical_reward(scale):
    """A typical reward is 5 here."""
    state = MODEL.encode(OBSERVATION)
    plain, rewarded = step(MODEL, state), step(with_bonus(MODEL, scale), state)
    assert 0.01 < plain.heads["disagreement"] < 1
    np.testing.assert_allclose(
        rewarded.reward - plain.reward,
        np.full(3, 5 * scale * plain.heads["disagreement"]),
        rtol=1e-4,
    )
    np.testing.assert_array_equal(rewarded.heads["disagreement"], plain.heads["disagreement"])
    for name in ("state", "continuation"):
        np.testing.assert_array_equal(getattr(rewarded, name), getattr(plain, name))


@pytest.mark.parametrize(
    ("low", "high", "bonus"), [(-1.0, 7.0, 2.5), (-7.0, -1.0, 2.5), (0.0, 0.0, 0.5)]
)
def test_a_typical_reward_is_the_root_mean_square_and_one_if_all_were_zero(low, high, bonus):
    np.testing.assert_allclose(
        with_bonus(model_with_rewards(low, high), 0.5).bonus, bonus, rtol=1e-6
    )


def test_with_the_floor_a_typical_reward_is_at_least_the_largest_cost_until_a_termination():
    """The agent has idled for long: costs were at most 0.25, and 0.05 in root mean square."""

    def bonus(normaliser, floor=True):
        model = MODEL.with_normaliser(normaliser)
        return with_bonus(model, 4.0, bonus_floor_until_first_termination=floor).bonus

    terminated = eqx.tree_at(
        lambda n: (n.reward_min, n.reward_max, n.reward_rms),
        NORMALISER,
        (jnp.float32(-0.25), jnp.float32(0.0), jnp.float32(0.05)),
    )
    assert bonus(terminated) == np.float32(0.2)
    not_terminated = eqx.tree_at(lambda n: n.seen_terminal, terminated, jnp.array(False))
    assert bonus(not_terminated, floor=False) == np.float32(0.2)
    assert bonus(not_terminated) == 1
    gains = eqx.tree_at(
        lambda n: (n.reward_min, n.reward_rms), not_terminated, (jnp.float32(0.5), jnp.float32(2.0))
    )
    assert bonus(gains) == 8


def test_reward_bounds_are_raised_by_the_bonus():
    """Rewards of at most 8, terminal ones of at most 4; the values' unit does not change."""
    model = with_bonus(MODEL, 0.5)
    assert (model.normaliser.reward_max, model.normaliser.terminal_reward_max) == (10.5, 6.5)
    assert (model.normaliser.reward_min, model.normaliser.terminal_reward_min) == (-2, -1)
    state = MODEL.encode(OBSERVATION)
    np.testing.assert_array_equal(model.value(state), MODEL.value(state))


def test_values_have_a_unit_even_if_all_rewards_were_zero():
    silent = model_with_rewards(0.0, 0.0)
    state = MODEL.encode(OBSERVATION)
    assert np.all(silent.value(state) == 0)
    assert np.all(with_bonus(silent, 0.5).value(state) != 0)


def test_a_bonus_can_make_negative_rewards_positive():
    """Rewards of at most -1 and a bonus of 2.5: a step may earn 1.5."""
    normaliser = with_bonus(model_with_rewards(-7.0, -1.0), 0.5).normaliser
    assert (normaliser.reward_min, normaliser.reward_max) == (-7, 1.5)


def test_a_model_with_a_bonus_has_no_uncertainty_penalty():
    penalised, state = small_model(uncertainty_penalty=2.0), MODEL.encode(OBSERVATION)
    expected, found = (step(with_bonus(model, 0.5), state) for model in (MODEL, penalised))
    np.testing.assert_array_equal(found.reward, expected.reward)
    assert found.heads["penalty"] == 0
    assert step(penalised, state).heads["penalty"] > 0


def test_a_model_with_a_bonus_aggregates_by_the_plain_mean():
    estimates = jnp.array([1.0, 4.0, 7.0])
    assert MODEL.aggregate(estimates) < 2
    assert with_bonus(MODEL, 0.5).aggregate(estimates) == 4


def test_the_original_model_and_what_was_learned_are_unchanged():
    model = with_bonus(MODEL, 0.5)
    assert MODEL.bonus == 0
    assert MODEL.use_pessimism
    assert MODEL.normaliser.reward_max == model.normaliser.reward_max - 2.5 == 8
    assert jax.tree.structure(model) == jax.tree.structure(MODEL)
    for ours, theirs in zip(
        jax.tree.leaves(model.components), jax.tree.leaves(MODEL.components), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    batch = random_transitions((3, 4))
    assert losses(model, KEY, batch) == losses(MODEL, KEY, batch)


def test_models_with_and_without_a_bonus_share_one_compiled_program():
    traces = []

    @eqx.filter_jit
    def traced_step(model, state):
        traces.append(model)
        return model.step(KEY, state, ACTION)

    state = MODEL.encode(OBSERVATION)
    for model in (MODEL, with_bonus(MODEL, 0.5), with_bonus(MODEL, 2.0)):
        traced_step(model, state)
    assert len(traces) == 1


def test_a_plans_return_includes_its_discounted_bonuses():
    """Nothing ends, and there is no value behind the plan."""
    reward = partial(KnownReward, lambda observation, action, next_observation: next_observation[0])
    model = small_model(reward=reward, value=ZeroValue, pessimism=0.0, propagation=TSInfinity(2))
    model = eqx.tree_at(
        lambda m: m.components.termination.network.layers[-1].bias, model, jnp.full((3, 1), -1e4)
    )
    rewarded, actions, discount = with_bonus(model, 0.5), jnp.array([0, 2, 1]), 0.9
    keys = jax.random.split(KEY, 3)
    state, bonuses = model.encode(OBSERVATION), []
    for key, action in zip(keys, actions, strict=True):
        prediction = model.step(key, state, action)
        state = prediction.state
        bonuses.append(2.5 * float(prediction.heads["disagreement"]))

    @eqx.filter_jit
    def plan_return(model):
        start = rollout.start(model, model.encode(OBSERVATION))
        return rollout.plan_return(KEY, model, start, actions, discount)

    np.testing.assert_allclose(
        plan_return(rewarded) - plan_return(model),
        np.sum(bonuses * discount ** np.arange(3)),
        rtol=1e-3,
    )


def test_a_new_normaliser_leaves_the_bonus_as_it_is():
    model = with_bonus(MODEL, 0.5).with_normaliser(NORMALISER)
    assert model.bonus == 2.5
    assert model.normaliser.reward_max == 8
