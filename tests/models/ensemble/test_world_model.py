"""The ensemble world model against loops over its members, and on a linear system to learn."""

import re
from functools import partial
from operator import itemgetter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl.data.normaliser import fit_normaliser
from mbrl.data.transitions import Transitions
from mbrl.models.ensemble.dynamics import ResidualDynamics
from mbrl.models.ensemble.propagation import TS1, Expectation, TSInfinity
from mbrl.models.ensemble.termination import NoTermination
from mbrl.models.ensemble.world_model import Components, WorldModel
from mbrl.models.risk import LowerConfidenceBound
from mbrl.models.value import ZeroValue
from mbrl.types import Box
from tests.data.made import all_valid
from tests.models.small import (
    ACTIONS,
    NORMALISER,
    OBSERVATION_SIZE,
    example_step,
    linear_transitions,
    losses,
    member,
    random_transitions,
    small_model,
)

MODEL = small_model()
KEY = jax.random.key(2)
OBSERVATION = example_step()[0]
ACTION = jnp.array(1)


def scattered_state() -> jax.Array:
    """A state whose particles differ."""
    return OBSERVATION[None] + 0.1 * jnp.arange(3.0)[:, None]


@eqx.filter_jit
def step(model, state):
    return model.step(KEY, state, ACTION)


def test_a_state_is_the_observation_once_per_member():
    np.testing.assert_array_equal(MODEL.encode(OBSERVATION), np.tile(OBSERVATION, (3, 1)))


def test_each_member_predicts_reward_and_continuation_of_the_mean_next_observation():
    state, features = scattered_state(), ACTIONS.features(ACTION)
    prediction = step(MODEL, state)
    members = [member(MODEL.components, number) for number in range(3)]
    predictions = [
        components.dynamics.mean(NORMALISER, state[i], features)
        for i, components in enumerate(members)
    ]
    mean = np.mean(predictions, axis=0)
    np.testing.assert_allclose(prediction.state, np.tile(mean, (3, 1)), rtol=1e-5)
    for i, components in enumerate(members):
        transition = (NORMALISER, state[i], features, jnp.asarray(mean))
        continuation = components.termination(*transition)
        np.testing.assert_allclose(prediction.continuation[i], continuation, rtol=1e-4)
        np.testing.assert_allclose(
            prediction.reward[i], components.reward(*transition, continuation), rtol=1e-4
        )


@pytest.mark.parametrize("propagation", [TS1(2), TSInfinity(2)], ids=["ts1", "ts_infinity"])
def test_particles_collapse_onto_each_of_them_at_random(propagation):
    model, state = small_model(propagation=propagation), jnp.arange(24.0).reshape(6, 4)
    collapsed = [
        np.asarray(model.collapse_particles(key, state)) for key in jax.random.split(KEY, 50)
    ]
    assert all(np.all(each == each[0]) for each in collapsed)
    assert {tuple(each[0]) for each in collapsed} == {
        tuple(particle) for particle in np.asarray(state)
    }


def test_equal_particles_are_not_collapsed():
    state = MODEL.encode(OBSERVATION)
    assert MODEL.collapse_particles(KEY, state) is state


def test_each_particles_value_comes_from_its_own_member():
    state = scattered_state()
    values = [
        member(MODEL.value_function, number)(NORMALISER, state[number]) for number in range(3)
    ]
    np.testing.assert_allclose(MODEL.value(state), np.stack(values), rtol=1e-5)


def test_members_predict_differently():
    prediction = step(MODEL, MODEL.encode(OBSERVATION))
    assert np.unique(prediction.reward).size == np.unique(prediction.continuation).size == 3
    assert np.unique(MODEL.value(prediction.state)).size == 3


def test_initial_members_differ_and_depend_on_the_key_alone():
    """Only the dynamics have weights here, since compiling their initialisation is slow."""
    unlearned = {"reward": NoTermination, "termination": NoTermination, "value": ZeroValue}
    sizes = {
        "observation_size": OBSERVATION_SIZE,
        "action_space": ACTIONS,
        "num_members": 2,
        "propagation": Expectation(),
        "risk": LowerConfidenceBound(),
    }
    make = eqx.filter_jit(
        partial(
            WorldModel, dynamics=partial(ResidualDynamics, width=2, depth=1), **unlearned, **sizes
        )
    )
    first, again, other = (
        make(key=jax.random.key(key)).components.dynamics.network.layers[0].weight
        for key in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 0
    assert np.abs(first[0] - first[1]).min() > 0


@pytest.mark.parametrize("pessimism", [0.0, 1.0, 0.5, -1.0])
def test_pessimism_subtracts_standard_deviations_from_the_mean(pessimism):
    """The mean of 1, 4 and 7 is 4, their variance 6."""
    aggregate = small_model(pessimism=pessimism).aggregate(jnp.array([1.0, 4.0, 7.0]))
    np.testing.assert_allclose(aggregate, 4 - pessimism * np.sqrt(6), rtol=1e-6)


def test_the_uncertainty_penalty_subtracts_disagreement_and_is_reported():
    """In units of a typical reward, 5 here."""
    plain, penalised = (
        step(model, model.encode(OBSERVATION))
        for model in (MODEL, small_model(uncertainty_penalty=2.0))
    )
    assert plain.heads["disagreement"] > 0.01
    assert plain.heads["penalty"] == 0
    np.testing.assert_allclose(
        penalised.heads["penalty"], 2 * 5 * plain.heads["disagreement"], rtol=1e-5
    )
    np.testing.assert_allclose(
        penalised.reward, plain.reward - penalised.heads["penalty"], rtol=1e-5
    )
    np.testing.assert_array_equal(penalised.heads["disagreement"], plain.heads["disagreement"])
    for name in ("state", "continuation"):
        np.testing.assert_array_equal(getattr(penalised, name), getattr(plain, name))


def test_pessimism_has_no_effect_on_a_single_member():
    assert small_model(num_members=1, pessimism=5.0).aggregate(jnp.array([3.0])) == 3.0


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_one_diverged_member_makes_the_aggregate_not_finite(bad):
    """Which `rollout.plan_return` and the planners handle."""
    assert not np.isfinite(MODEL.aggregate(jnp.array([1.0, bad, 2.0])))


def test_with_normaliser_replaces_the_normaliser_alone():
    other = eqx.tree_at(lambda n: n.reward_mean, NORMALISER, jnp.float32(5.0))
    scaled = MODEL.with_normaliser(other)
    assert scaled.normaliser.reward_mean == 5
    back = scaled.with_normaliser(MODEL.normaliser)
    assert jax.tree.structure(back) == jax.tree.structure(MODEL)
    assert all(
        new is old
        for new, old in zip(jax.tree.leaves(back), jax.tree.leaves(MODEL), strict=True)
        if eqx.is_array(old)
    )


def test_losses_are_means_over_members_and_batch():
    batch = random_transitions((3, 2))
    expected = {"loss/dynamics": [], "loss/reward": [], "loss/termination": []}
    for i in range(3):
        components = member(MODEL.components, i)
        for j in range(2):
            one = jax.tree.map(itemgetter((i, j)), batch)
            inputs = (
                NORMALISER,
                one.observation,
                ACTIONS.features(one.action),
                one.next_observation,
            )
            expected["loss/dynamics"].append(components.dynamics.loss(*inputs))
            expected["loss/reward"].append(
                components.reward.loss(*inputs, one.reward, one.terminated)
            )
            expected["loss/termination"].append(
                components.termination.loss(*inputs, one.terminated)
            )
    found = losses(MODEL, KEY, batch)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], np.mean(values), rtol=1e-5, err_msg=name)


def test_a_members_gradient_comes_from_its_own_batch_alone():
    batch = random_transitions((3, 5))
    other = random_transitions((3, 5), seed=9)
    mixed = jax.tree.map(lambda old, new: jnp.concatenate([old[:1], new[1:]]), batch, other)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(components, batch):
        return sum(with_components(MODEL, components).losses(KEY, batch).values())

    for first, second in zip(
        *(jax.tree.leaves(gradient(MODEL.components, each)) for each in (batch, mixed)), strict=True
    ):
        np.testing.assert_allclose(first[0], second[0], rtol=1e-5, atol=1e-7)
        assert np.abs(first[1:] - second[1:]).max() > 1e-5


@pytest.mark.parametrize("num_members", [0, -1])
def test_an_ensemble_without_members_is_refused(num_members):
    with pytest.raises(
        ValueError, match=rf"model.num_members={num_members}: must be at least 1. Try 5"
    ):
        small_model(num_members=num_members)


@pytest.mark.parametrize("name", ["pessimism", "uncertainty_penalty"])
@pytest.mark.parametrize("factor", [1e12, -1e30])
def test_a_factor_beside_which_returns_are_rounded_away_is_refused(name, factor):
    with pytest.raises(
        ValueError, match=rf"model\.{name}={re.escape(str(factor))}: must be at most"
    ):
        small_model(**{name: factor})


def test_gradient_descent_learns_a_linear_system():
    """Validation losses; without knowledge they are 1 (in units of variance) and 0.5 (nats)."""
    data = all_valid(linear_transitions(400, seed=0))
    model = small_model(observation_size=2, action_space=Box(1)).with_normaliser(
        fit_normaliser(data)
    )
    unseen = jax.tree.map(
        lambda leaf: jnp.tile(leaf, (3,) + (1,) * leaf.ndim), linear_transitions(200, seed=1)
    )
    before, after = losses(model, KEY, unseen), losses(fit(model, data), KEY, unseen)
    assert before["loss/dynamics"] > 0.9
    assert before["loss/reward"] > 0.9
    assert before["loss/termination"] > 0.5
    assert after["loss/dynamics"] < 0.05
    assert after["loss/reward"] < 0.05
    assert after["loss/termination"] < 0.1


def fit(model: WorldModel, data: Transitions) -> WorldModel:
    optimizer = optax.adam(2e-2)
    parameters, fixed = eqx.partition(model.components, eqx.is_inexact_array)

    def loss(parameters, key):
        components = eqx.combine(parameters, fixed)
        batch = data.sample(key, (model.num_members, 32))
        return sum(with_components(model, components).losses(key, batch).values())

    def update(carry, key):
        parameters, state = carry
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            steps, state = optimizer.update(jax.grad(loss)(parameters, key), state)
        return (optax.apply_updates(parameters, steps), state), None

    keys = jax.random.split(jax.random.key(4), 150)
    (parameters, _), _ = jax.jit(lambda start: jax.lax.scan(update, start, keys))(
        (parameters, optimizer.init(parameters))
    )
    return with_components(model, eqx.combine(parameters, fixed))


def with_components(model: WorldModel, components: Components) -> WorldModel:
    return eqx.tree_at(lambda m: m.components, model, components)
