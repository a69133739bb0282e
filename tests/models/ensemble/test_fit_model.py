"""Fitting the model: training and validation sets, early stopping, bootstrap."""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import PyTree

from mbrl.config.build import build
from mbrl.data.normaliser import fit_normaliser
from mbrl.data.split import split
from mbrl.data.transitions import Transitions
from mbrl.envs import point_mass
from mbrl.models.ensemble.dynamics import KnownDynamics, ResidualDynamics
from mbrl.models.ensemble.fit_model import ModelFitter
from mbrl.models.ensemble.world_model import WorldModel
from mbrl.randomness import SPLIT
from mbrl.types import Box, Transition
from tests.configs import resolved_small
from tests.data.made import all_valid
from tests.models.small import DYNAMICS_ONLY, linear_transitions, losses, small_model, weighted

SPLIT_KEY, KEY = jax.random.fold_in(jax.random.key(7), SPLIT), jax.random.key(8)
VALIDATION_FRACTION = 0.3
MEMBERS = 2


class State(NamedTuple):
    """What a phase of learning changes, and the data that it learns from."""

    model: WorldModel
    optimizer_state: PyTree
    data: Transitions


def learner(rate: float = 1e-2, **changes) -> ModelFitter:
    settings = {
        "num_updates": 100,
        "batch_size": 32,
        "validation_fraction": VALIDATION_FRACTION,
        "bootstrap": False,
        "patience": None,
        "center_rewards": False,
    }
    return ModelFitter(optimizer=optax.adam(rate), **(settings | changes))


WIDE = partial(ResidualDynamics, width=32, depth=2)  # enough to overfit noise


def state_of(transitions: Transition, fit: ModelFitter, **changes) -> State:
    """The state before the first phase, with these transitions to learn from."""
    model = small_model(
        observation_size=2,
        action_space=Box(1),
        **({"num_members": MEMBERS} | DYNAMICS_ONLY | changes),
    )
    return State(model, fit.init(model), all_valid(transitions))


def noise(number: int) -> Transition:
    """Transitions whose changes are independent of observation and action."""
    transitions = linear_transitions(number, seed=0)
    change = np.random.default_rng(1).normal(size=(number, 2)).astype(np.float32)
    return transitions._replace(next_observation=transitions.observation + change)


def held_out_of(state: State) -> np.ndarray:
    sets = split(SPLIT_KEY, state.data, MEMBERS, VALIDATION_FRACTION, False)
    return np.diff(np.asarray(sets.held_out[0]), prepend=0) > 0


def held_out_error(state: State) -> float:
    """The model's loss on the validation set."""
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[held_out_of(state)], state.data.rows)
    batch = jax.tree.map(lambda leaf: jnp.tile(leaf, (MEMBERS,) + (1,) * leaf.ndim), batch)
    model = state.model.with_normaliser(fit_normaliser(state.data))
    return float(sum(losses(model, KEY, batch).values()))


def weights(state: State) -> list[np.ndarray]:
    return [
        np.asarray(leaf)
        for leaf in jax.tree.leaves(eqx.filter(state.model.components, eqx.is_inexact_array))
    ]


@eqx.filter_jit
def phase(fit, key, state):
    model, optimizer_state, metrics = fit(
        key, state.model, state.data, state.optimizer_state, SPLIT_KEY
    )
    return State(model, optimizer_state, state.data), metrics


def test_losses_of_a_learnable_system_fall_and_are_reported():
    """Dynamics, reward and termination of a linear system."""
    learned = small_model().components
    fit = learner(2e-2, num_updates=150)
    all_learned = {"reward": learned.reward.__class__, "termination": learned.termination.__class__}
    state = state_of(
        linear_transitions(400, seed=0),
        fit,
        **{name: partial(part, width=8) for name, part in all_learned.items()},
    )
    before = held_out_error(state)
    state, metrics = phase(fit, KEY, state)
    components = ("dynamics", "reward", "termination")
    assert metrics.keys() == {
        f"{kind}/{name}" for kind in ("loss", "validation") for name in components
    } | {"learn/updates"}
    assert all(value.shape == () and value.dtype == jnp.float32 for value in metrics.values())
    reported = sum(float(metrics[f"validation/{name}"]) for name in components)
    # Estimated by 256 samples from 120 transitions.
    np.testing.assert_allclose(reported, held_out_error(state), rtol=0.3)
    assert reported < 0.2 * before
    for name, limit in zip(components, (0.1, 0.1, 0.15), strict=True):
        assert metrics[f"loss/{name}"] < limit
        assert metrics[f"validation/{name}"] < limit
    _, later = phase(fit, jax.random.key(9), state)
    assert sum(float(later[f"validation/{name}"]) for name in components) < reported


def test_the_validation_set_is_never_trained_on():
    """In its transitions the effect of the action is reversed."""
    fit = learner(2e-2, num_updates=150)
    transitions = linear_transitions(400, seed=0)
    held_out = held_out_of(state_of(transitions, fit))
    effect = transitions.action * np.array([0.5, -1.0], np.float32)
    transitions = transitions._replace(
        next_observation=transitions.next_observation - 2 * effect * held_out[:, None]
    )
    _, metrics = phase(fit, KEY, state_of(transitions, fit))
    assert metrics["loss/dynamics"] < 0.05
    assert metrics["validation/dynamics"] > 1


def test_the_normaliser_is_fitted_to_all_data():
    fit = learner(num_updates=1)
    state = state_of(linear_transitions(50, seed=0), fit)
    after, _ = phase(fit, KEY, state)
    expected = fit_normaliser(state.data)
    for ours, theirs in zip(
        jax.tree.leaves(after.model.normaliser), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("num_updates", "used"), [(20, 20), (15, 16), (7, 7)])
def test_without_patience_all_updates_are_used_in_up_to_ten_equal_rounds(num_updates, used):
    """Even though on noise every update increases the validation error."""
    fit = learner(num_updates=num_updates, batch_size=2)
    after, metrics = phase(fit, KEY, state_of(noise(40), fit))
    assert metrics["learn/updates"] == used
    assert after.optimizer_state[0].count == used


@pytest.mark.parametrize("patience", [1, 3])
def test_with_patience_a_phase_ends_after_so_many_rounds_without_improvement(patience):
    """With this learning rate nothing improves, so the initial weights are restored."""
    fit = learner(100.0, patience=patience)
    state = state_of(noise(40), fit)
    after, metrics = phase(fit, KEY, state)
    assert metrics["learn/updates"] == 10 * patience
    for now, then in zip(weights(after), weights(state), strict=True):
        np.testing.assert_array_equal(now, then)
    assert after.optimizer_state[0].count == 10 * patience


def test_on_noise_a_phase_ends_early_and_restores_the_best_weights():
    """Without patience the model overfits."""
    patient, without_patience = (
        learner(num_updates=200, patience=patience) for patience in (2, None)
    )
    state = state_of(noise(80), patient, dynamics=WIDE)
    early, metrics = phase(patient, KEY, state)
    late, all_metrics = phase(without_patience, KEY, state)
    assert all_metrics["learn/updates"] == 200
    assert 40 <= metrics["learn/updates"] < 200
    assert held_out_error(early) < 0.8 * held_out_error(late)
    assert held_out_error(early) < 1.05 * held_out_error(state)


def test_patience_does_not_end_a_phase_that_keeps_improving():
    patient, without_patience = (
        learner(1e-3, num_updates=20, patience=patience) for patience in (1, None)
    )
    state = state_of(linear_transitions(400, seed=0), patient)
    (one, metrics), (other, _) = (phase(each, KEY, state) for each in (patient, without_patience))
    assert metrics["learn/updates"] == 20
    for now, then in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("bootstrap", [False, True])
def test_members_have_their_own_training_sets_only_with_bootstrap(bootstrap):
    """A member overfits exactly the transitions in its training set."""
    fit = learner(num_updates=200, bootstrap=bootstrap, validation_fraction=1e-6)
    state = state_of(noise(8), fit, dynamics=WIDE)
    after, _ = phase(fit, KEY, state)
    batch = jax.tree.map(
        lambda leaf: jnp.tile(leaf, (MEMBERS,) + (1,) * leaf.ndim), state.data.rows
    )
    errors = jax.vmap(jax.vmap(partial(error_of_one, after.model), (None, 0)), (0, 0))(
        jnp.arange(MEMBERS), batch
    )
    sets = split(SPLIT_KEY, state.data, MEMBERS, 1e-6, bootstrap)
    lacking = np.diff(np.asarray(sets.training), prepend=0, axis=1) == 0
    assert lacking.any() == bootstrap
    assert np.max(np.asarray(errors)[~lacking]) < 0.2
    if bootstrap:
        assert np.mean(np.asarray(errors)[lacking]) > 0.5


def error_of_one(model, number, transition):
    dynamics = jax.tree.map(
        lambda leaf: leaf[number] if eqx.is_array(leaf) else leaf, model.components.dynamics
    )
    return dynamics.loss(
        model.normaliser, transition.observation, transition.action, transition.next_observation
    )


def test_a_single_member_is_trained_without_bootstrap():
    results = []
    for bootstrap in (False, True):
        alone = learner(num_updates=10, bootstrap=bootstrap)
        results.append(
            weights(
                phase(alone, KEY, state_of(linear_transitions(60, seed=0), alone, num_members=1))[0]
            )
        )
    for without, with_bootstrap in zip(*results, strict=True):
        np.testing.assert_array_equal(without, with_bootstrap)


def test_a_model_without_parameters_only_gets_a_new_normaliser():
    known = partial(KnownDynamics, point_mass.TrueDynamics())
    fit = learner()
    state = state_of(linear_transitions(50, seed=0), fit, dynamics=known)
    after, metrics = phase(fit, KEY, state)
    assert metrics == {}
    assert jax.tree.leaves(after.model.components) == jax.tree.leaves(state.model.components)
    np.testing.assert_array_equal(after.model.normaliser.reward_max, state.data.rows.reward.max())


def test_an_oracle_with_a_learned_reward_learns_it():
    config = resolved_small(
        "model=oracle", "model/reward=learned", "model/value=none", "env=point_mass"
    ).tree
    space = Box(2)
    model = weighted(lambda: build(config.model).init(KEY, 4, space).model)
    generator, truth = np.random.default_rng(0), point_mass.TrueDynamics()
    observation = jnp.asarray(generator.uniform(-1, 1, (300, 4)), jnp.float32)
    action = jnp.asarray(generator.uniform(-1, 1, (300, 2)), jnp.float32)
    next_observation = jax.vmap(partial(truth.step, None))(observation, action)
    reward = jax.vmap(point_mass.reward)(observation, action, next_observation)
    never = jnp.zeros(300, bool)
    data = all_valid(Transition(observation, action, reward, next_observation, never, never))
    fit = learner(2e-2, num_updates=200)
    _, metrics = phase(fit, KEY, State(model, fit.init(model), data))
    assert metrics["loss/dynamics"] == metrics["validation/dynamics"] == 0
    # A constant prediction has a loss of 1.
    assert metrics["validation/reward"] < 0.3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_updates": 0}, "num_updates=0: must be at least 1"),
        ({"batch_size": -1}, "batch_size=-1: must be at least 1"),
        (
            {"validation_fraction": 0.0},
            "validation_fraction=0.0: must be between 0 and 1. Try 0.05",
        ),
        (
            {"validation_fraction": 1.0},
            "validation_fraction=1.0: must be between 0 and 1. Try 0.05",
        ),
        ({"patience": 0}, "patience=0: must be at least 1, or null"),
    ],
)
def test_invalid_settings_are_refused(changes, named):
    with pytest.raises(ValueError, match=rf"model.fit_model.{named}"):
        learner(**changes)
