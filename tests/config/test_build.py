"""`build` makes an object from a node, after its target and settings are checked."""

from collections.abc import Callable

import jax.numpy as jnp
import pytest
from omegaconf import OmegaConf

from mbrl.config.build import build
from mbrl.config.compose import compose
from mbrl.errors import ConfigError
from mbrl.planners.random import RandomPlanner
from mbrl.types import Box
from tests.configs import resolved


def refusal(node: object) -> str:
    with pytest.raises(ConfigError) as caught:
        build(OmegaConf.create(node))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_part_gets_its_settings_and_what_the_run_knows():
    planner = build(compose(["planner=random"]).planner, action_space=Box(2))
    assert isinstance(planner, RandomPlanner)
    assert planner.action_space == Box(2)


@pytest.mark.parametrize("node", [{}, {"width": 3}])
def test_a_node_without_a_target_is_refused(node):
    assert "must be a mapping with a _target_" in refusal(node)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "urllib.request.urlretrieve",
        "jax.numpy.save",
        "mbrl.config.process.os.system",
        "mbrl.envs.gymnasium.gymnasium.make",
        "builtins.print",
    ],
)
def test_a_target_outside_the_project_is_refused(target):
    sentence = refusal({"_target_": target})
    assert sentence.startswith(f"_target_={target}: not one of this project's own parts")


@pytest.mark.parametrize("target", [0, None, [1], "🐍", ["x"] * 500])
def test_the_name_of_a_target_that_is_refused_is_whole_and_the_message_short(target):
    part = {"_target_": "mbrl.planners.random.RandomPlanner", "inner": {"_target_": target}}
    sentence = refusal(part)
    assert sentence.startswith("inner._target_=")
    assert len(sentence) < 500


def test_interpolations_are_refused_since_they_could_change_after_the_check():
    assert "an interpolation where only plain values may be" in refusal(
        {"_target_": "mbrl.planners.random.RandomPlanner", "a": "${oc.env:HOME}"}
    )


def test_settings_that_the_target_does_not_have_are_refused():
    node = {"_target_": "mbrl.planners.random.RandomPlanner", "width": 3}
    assert refusal(node).startswith("width: not a setting of mbrl.planners.random.RandomPlanner")


def test_settings_that_are_missing_are_named():
    sentence = refusal({"_target_": "mbrl.planners.greedy.Greedy", "discount": 0.9})
    assert "does not fit its settings" in sentence
    assert "num_actions" in sentence


def test_functions_with_equal_settings_are_shared_and_others_are_not():
    """JAX compares them by identity."""

    def functions(*overrides):
        tree = resolved(*overrides).tree
        return build(tree.training).epsilon, build(tree.model).fit_model.optimizer.factory

    schedule = "training.epsilon={_target_: optax.linear_schedule, init_value: 1, end_value: 0, "
    some, again = (functions(schedule + "transition_steps: 9}", f"seed={seed}") for seed in (0, 1))
    assert all(one is same for one, same in zip(some, again, strict=True))
    other = functions(schedule + "transition_steps: 8}", "optimizer=adam")
    assert not any(one is same for one, same in zip(some, other, strict=True))


def test_a_function_of_a_trusted_part_is_not_shared():
    """What that part makes can change."""
    made = []

    def node():
        learning_rate = {"_target_": "tests.config.test_build.make_schedule"}
        optimizer = {"_target_": "optax.sgd", "learning_rate": learning_rate}
        config = resolved("training=smoke").settings
        config["model"]["fit_model"]["optimizer"] = optimizer
        return OmegaConf.create(config).model

    for rate in (1.0, 5.0):
        RATE["now"] = rate
        optimizer = build(node(), trust=("tests",)).fit_model.optimizer
        made.append(optimizer.update(jnp.ones(()), optimizer.init(jnp.ones(())))[0])
    assert made == [-1.0, -5.0]


RATE = {}


def make_schedule() -> Callable:
    rate = RATE["now"]
    return lambda count: rate


def test_an_error_in_a_function_names_its_own_setting():
    config = resolved("optimizer.learning_rate={_target_: optax.linear_schedule}")
    with pytest.raises(ConfigError) as caught:
        build(config.tree.model)
    assert ".optimizer.learning_rate: cannot be built" in str(caught.value)
