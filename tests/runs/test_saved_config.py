"""Configs as plain data (hostile ones: tests/analysis/test_records.py)."""

import pytest
import yaml

from mbrl.config.compose import compose
from mbrl.config.resolve import resolve, to_yaml
from mbrl.runs.reader import CorruptRun
from mbrl.runs.saved_config import as_text, leaves, read_settings


@pytest.mark.parametrize(
    "overrides", [(), ("env=pendulum", "planner=mcts"), ("env=corridor", "model=probabilistic")]
)
def test_a_saved_config_comes_back_as_it_was(tmp_path, overrides):
    saved = resolve(compose(overrides))
    (tmp_path / "config.yaml").write_text(to_yaml(saved))
    assert read_settings(tmp_path) == saved


def test_leaves_have_dotted_names():
    found = dict(leaves({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}, "f": None}))
    assert found == {"a.b": "1", "a.c.d": "[1, 2]", "e": "{}", "f": "null"}


def test_one_number_is_one_text():
    assert as_text(2) == as_text(2.0) == "2"
    assert as_text(0.1) == "0.1"
    assert as_text(True) == "true"
    assert as_text(True) != as_text(1)
    assert as_text(float("inf")) == "Infinity"
    assert as_text("x y") == "x y"


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1",
        "a: !!str 1",
        "? a\n: &x 1",
        "a:\n" + "".join(f"{' ' * n}b:\n" for n in range(1, 70)),
    ],
)
def test_what_can_harm_is_looked_for_in_each_of_its_forms(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(CorruptRun, match="no saved config"):
        read_settings(tmp_path)


def test_what_only_looks_unusual_is_read(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"a": "what?", "b": "x & y", "c": "wow!"}))
    assert read_settings(tmp_path) == {"a": "what?", "b": "x & y", "c": "wow!"}
