"""Annotations decide which values a config may have."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import optax
import pytest
from omegaconf import OmegaConf

from mbrl.config.validation import (
    MAX_INT,
    convert_whole_numbers,
    format_value,
    validation_errors,
)
from mbrl.planners.base import AbstractPlanner
from mbrl.planners.random import RandomPlanner

ADAM = {"_target_": "optax.adam", "learning_rate": 0.1}
SCHEDULE = {
    "_target_": "optax.linear_schedule",
    "init_value": 1.0,
    "end_value": 0.0,
    "transition_steps": 5,
}
PLANNER = {"_target_": "mbrl.planners.random.RandomPlanner"}
TARGETS = {
    "optax.adam": optax.adam,
    "optax.linear_schedule": optax.linear_schedule,
    PLANNER["_target_"]: RandomPlanner,
}


def refusals(value: Any, annotation: Any) -> list[str]:
    def constructor(setting):
        """Takes one setting."""

    constructor.__annotations__["setting"] = annotation
    node = OmegaConf.create({"part": {"_target_": "constructor", "setting": value}})
    return list(validation_errors(node.part, constructor, TARGETS.__getitem__))


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (
            int,
            [0, -3, MAX_INT, 1e4],
            [True, 1.5, "1", None, [1], {}, MAX_INT + 1, 1e10, math.inf, 10**400, ADAM],
        ),
        (float, [0, 0.5, -1e30], [True, "x", None, [], math.nan, math.inf, 1e308, 10**400, ADAM]),
        (float | None, [0.5, None], [True, math.nan, "none"]),
        (bool, [True, False], [0, "true", None]),
        (str, ["", "word"], [3, None, ["word"], {}]),
        (Literal["one", "two"], ["one"], ["three", 1, None]),
        (Sequence[float], [[], [1, 0.5]], [None, "ab", 3, ["a"], [math.nan], {}]),
        (Mapping[str, Any], [{}, {"a": [1]}], [None, [], "a", ADAM]),
        (dict[int, float] | None, [{}, {3: 0.5}, None], [[], 0.5, ADAM]),
        (list[int], [[], [1]], [["a"], 1, {}]),
        (
            optax.GradientTransformation,
            [ADAM],
            [None, 3, "adam", {}, SCHEDULE, PLANNER, ADAM | {"_partial_": True}],
        ),
        (
            Callable[..., AbstractPlanner],
            [PLANNER | {"_partial_": True}],
            [PLANNER, ADAM, ADAM | {"_partial_": True}, 3, None, {}],
        ),
        (float | Callable[[int], float], [0.5, SCHEDULE], ["x", ADAM, None]),
        (jax.typing.ArrayLike, [0.5, 2], [True, "x", math.inf, ADAM, None]),
        (Any, [None, 3, "x", [], ADAM], []),
    ],
    ids=str,
)
def test_a_value_is_held_to_its_annotation(annotation, good, bad):
    assert [value for value in good if refusals(value, annotation)] == []
    assert [value for value in bad if not refusals(value, annotation)] == []


def test_a_sentence_names_the_setting_its_value_and_every_rule():
    (sentence,) = refusals("x", Literal["one", "two"] | bool | None)
    assert sentence == "part.setting=x: must be 'one' or 'two' or true or false or null."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ("", "''"),
        ("a\n b", "a b"),
        ("x" * 200, "x" * 100 + "…"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_values_are_shown_on_one_short_line(value, text):
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("value", "expected"), [(1e4, 10_000), (-2.0, -2), (3, 3), (0.5, 0.5), ("1", "1"), (None, None)]
)
def test_whole_floats_become_integers_where_only_those_are_taken(value, expected):
    def constructor(whole: int | None, number: float, either: int | float, untyped): ...

    names = ("whole", "number", "either", "untyped", "unknown")
    node = dict.fromkeys(names, value)
    convert_whole_numbers(node, constructor)
    assert type(node["whole"]) is type(expected)
    assert node == dict.fromkeys(names, value) | {"whole": expected}
    assert all(type(node[name]) is type(value) for name in names[1:])


@pytest.mark.parametrize("text", ["7", "1e4", "-0.5"])
def test_a_number_as_text_is_told_from_another_word(text):
    [sentence] = refusals(text, int)
    assert "It is text, as environment variables are: give $NAME on a command" in sentence
    assert "It is text" not in refusals("seven", int)[0]
