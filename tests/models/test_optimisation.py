"""The optimiser options, from the command line to a gradient step of model and value."""

import equinox as eqx
import hydra
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from omegaconf import OmegaConf

from mbrl.assemble import assemble
from mbrl.config.build import build
from mbrl.errors import ConfigError
from mbrl.models.optimisation import clipped_adamw, gradient_step
from mbrl.training.collect import Collector
from mbrl.training.loop import update
from tests.configs import options, resolved, resolved_small

FITTERS = ("fit_model", "fit_value")
OPTIONS = options("optimizer")


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("fitter", FITTERS)
def test_the_command_lines_learning_rate_reaches_model_and_value(option, fitter):
    model = resolved(f"optimizer={option}", "optimizer.learning_rate=0.25").tree.model
    assert model[fitter].optimizer.learning_rate == 0.25


def test_an_optimiser_of_the_value_alone_wins_over_the_shared_one():
    own = "model.fit_value.optimizer={_target_: optax.adam, learning_rate: 0.5}"
    model = resolved("optimizer=sgd", own).tree.model
    assert model.fit_model.optimizer._target_ == "optax.sgd"
    assert model.fit_value.optimizer._target_ == "optax.adam"


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_changes_the_model_and_the_value_in_one_phase_of_learning(option):
    training, environment, learner, planner, state = assemble(
        resolved_small("training=smoke", "planner=random", f"optimizer={option}")
    )
    collector = Collector(environment, learner, planner, training.exploration)
    state, _ = collector.collect(state, 40, at_random=True)

    def all_weights(state):
        return [weights(part) for part in learner.parameters(state.learner).values()]

    before = all_weights(state)
    state, metrics = update(learner, state, np.asarray(40))
    after = all_weights(state)
    assert len(after) == 2
    for old, new in zip(before, after, strict=True):
        assert np.all(np.isfinite(new))
        assert np.any(old != new)
    assert all(np.isfinite(value) for value in metrics.values())


def weights(module) -> np.ndarray:
    leaves = jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array))
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


@pytest.mark.parametrize("option", OPTIONS)
def test_a_negative_learning_rate_is_refused(option):
    with pytest.raises(ConfigError, match=r"learning_rate=-0\.1"):
        build(resolved(f"optimizer={option}", "optimizer.learning_rate=-0.1").tree.model)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.max_norm=0", r"optimizer\.max_norm=0: must be positive"),
        ("optimizer.warmup_updates=0", r"optimizer\.warmup_updates=0: must be at least 1"),
    ],
)
def test_invalid_settings_of_clipped_adamw_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        build(resolved("optimizer=clipped_adamw", override).tree.model)


def steps(optimizer, gradient, num_steps: int) -> np.ndarray:
    """The weights after each of some steps with the same gradient, from zero."""
    module = jnp.zeros_like(gradient)
    state, path = optimizer.init(module), []
    for _ in range(num_steps):
        module, state = gradient_step(optimizer, state, gradient, module)
        path.append(np.asarray(module))
    return np.stack(path)


def test_the_learning_rate_warms_up_linearly_to_a_constant():
    """With a constant gradient, Adam's steps have the length of the learning rate."""
    path = steps(clipped_adamw(0.1, 0.0, 1e6, warmup_updates=4), jnp.array([3.0]), 7)
    lengths = -np.diff(path[:, 0], prepend=0.0)
    np.testing.assert_allclose(lengths, [0.0, 0.025, 0.05, 0.075, 0.1, 0.1, 0.1], rtol=1e-4)


def test_gradients_are_clipped_by_their_global_norm():
    """Clipping all but the first step changes Adam's moving averages, as in optax's own parts."""
    gradients = [jnp.array([0.03, 0.04]), jnp.array([30.0, 40.0])]
    clipped, by_hand = clipped_adamw(0.1, 0.0, 0.5, warmup_updates=1), optax.adamw(0.1)
    module = by_hand_module = jnp.zeros(2)
    state, by_hand_state = clipped.init(module), by_hand.init(module)
    _, state = gradient_step(clipped, state, gradients[0], module)  # the first rate is zero
    _, by_hand_state = gradient_step(by_hand, by_hand_state, gradients[0], by_hand_module)
    module, _ = gradient_step(clipped, state, gradients[1], module)
    by_hand_module, _ = gradient_step(by_hand, by_hand_state, jnp.array([0.3, 0.4]), by_hand_module)
    np.testing.assert_allclose(module, by_hand_module, rtol=1e-5)


NODES = {
    "adam": {"_target_": "optax.adam", "learning_rate": 0.02, "b1": 0.8},
    "sgd": {"_target_": "optax.sgd", "learning_rate": 0.02, "momentum": 0.9, "nesterov": True},
    "lion": {"_target_": "optax.lion", "learning_rate": 0.02, "weight_decay": 0.1},
    "rmsprop": {"_target_": "optax.rmsprop", "learning_rate": 0.02, "momentum": 0.5},
    "radam": {"_target_": "optax.radam", "learning_rate": 0.02, "threshold": 5.0},
    "adafactor": {"_target_": "optax.adafactor", "learning_rate": 0.02, "decay_rate": 0.7},
    "schedule": {
        "_target_": "optax.adamw",
        "learning_rate": {
            "_target_": "optax.linear_schedule",
            "init_value": 0.1,
            "end_value": 0.0,
            "transition_steps": 5,
        },
    },
    "chain": {
        "_target_": "optax.chain",
        "_args_": [
            {"_target_": "optax.clip_by_global_norm", "max_norm": 0.1},
            {"_target_": "optax.sgd", "learning_rate": 0.02},
        ],
    },
}


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_an_optimiser_with_numbers_as_arrays_takes_the_steps_of_optax(node):
    config = resolved("training=smoke").settings
    config["model"]["fit_model"]["optimizer"] = node
    optimizer = build(OmegaConf.create(config).model).fit_model.optimizer
    expected = hydra.utils.instantiate(node, _convert_="object")
    parameters = {"w": jnp.linspace(-1.0, 2.0, 6).reshape(2, 3)}

    def steps(optimizer):
        moved, state = parameters, optimizer.init(parameters)
        for _ in range(3):
            gradient = jax.tree.map(jnp.sin, moved)
            moved, state = gradient_step(optimizer, state, gradient, moved)
        return moved["w"]

    traced = eqx.filter_jit(steps)(optimizer)
    np.testing.assert_allclose(traced, steps(expected), rtol=1e-6)
    assert np.any(traced != parameters["w"])


@pytest.mark.parametrize("setting", ["max_norm=0.0", "max_norm=-1.0", "warmup_updates=0"])
def test_numbers_that_are_arrays_are_checked_as_numbers(setting):
    with pytest.raises(ConfigError, match=rf"optimizer\.{setting}: must be"):
        build(resolved("optimizer=clipped_adamw", f"optimizer.{setting}").tree.model)
