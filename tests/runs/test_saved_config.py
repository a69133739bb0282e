"""Saved configs as plain data (hostile ones: tests/analysis/test_records.py)."""

import math
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given, settings
from omegaconf import OmegaConf

from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.errors import CorruptRun
from mbrl.runs.saved_config import as_text, leaves, read_config, read_mapping

# Text that YAML could read as another type.
AMBIGUOUS = ["1e-3", "1e5", "1_000", "1:30", "0x1F", "0o17", "017", ".5", "5.", ".inf", "-.INF"]
AMBIGUOUS += [".nan", "nan", "inf", "2026-01-01", "2026-01-01 10:00:00", "on", "off", "yes", "no"]
AMBIGUOUS += ["y", "n", "true", "False", "null", "~", "", " ", "-", "=", "<<", "?", "!x", "&x"]
AMBIGUOUS += ["*x", "{}", "[]", "a: b", "# x", "%x", "@x", "`x", "'x'", '"x"', "x\ny", "é∞", "\t"]
FLOATS = [1e-05, 1.0e-05, 1e-3, 1e22, 1e300, 5e-324, 0.1, 2.0, -0.0, math.inf, -math.inf]
INTEGERS = [0, -1, 10**6, 2**63, -(2**63), 10**400]


def read(folder: Path, text: str) -> Any:
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return read_mapping(file, "Restore it.")


@pytest.mark.parametrize(
    "overrides", [(), ("env=pendulum", "planner=mcts"), ("env=corridor", "model=probabilistic")]
)
def test_a_composed_config_is_read_as_it_was_saved(tmp_path, overrides):
    saved = resolve(compose(overrides)).settings
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(saved))
    assert read_config(tmp_path) == saved


@pytest.mark.parametrize(
    "value", [*AMBIGUOUS, *FLOATS, *INTEGERS, True, False, None], ids=lambda value: str(value)[:20]
)
def test_each_type_of_value_is_read_as_it_was_saved(tmp_path, value):
    saved = {"a": value, "b": {"c": [value]}}
    found = read(tmp_path, OmegaConf.to_yaml(saved))
    assert found == saved
    assert type(found["a"]) is type(value)


def test_nan_is_read_as_it_was_saved(tmp_path):
    assert math.isnan(read(tmp_path, OmegaConf.to_yaml({"a": math.nan}))["a"])


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029")).filter(
        lambda text: "${" not in text
    ),
    st.sampled_from(AMBIGUOUS),
)
names = st.text("ab1_-. :#", min_size=1, max_size=5)
containers = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.dictionaries(names, containers, max_size=4))
def test_any_config_is_read_as_omegaconf_reads_it(saved):
    text = OmegaConf.to_yaml(saved)
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), text)
    assert found == OmegaConf.to_container(OmegaConf.create(text)) == saved


@pytest.mark.parametrize("text", ["1e-3", "1E5", "2026-01-01", "1_0.5", ".5", "0x1F", "1:30.5"])
def test_an_edited_value_is_read_as_omegaconf_reads_it(tmp_path, text):
    found = read(tmp_path, f"a: {text}\n")
    assert found == OmegaConf.to_container(OmegaConf.create(f"a: {text}\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", "the key a appears twice"),
        *((text, "cannot be read") for text in ("a: [1", "a: 1\n---\na: 1", "a: \x00")),
        *((f"a: {number}", "more than 4300 digits") for number in ("9" * 5000, "1" + ":1" * 5000)),
        ("[a]", "is not a mapping of settings"),
        ("a: " + "x" * 1_000_000, "larger than 1000000 bytes"),
        ("a: {" + "".join(f"b{n}: 1, " for n in range(5001)) + "}", "more than 5000 keys"),
        ("".join(f"a{n}: 1\n" for n in range(60_000)), "more than 5000 keys"),
        ("a: 'x\x85y'", "Unicode line break"),
        ("a: {b: &x 1}", "anchor, alias or tag"),
        ("a: &x [*x]", "anchor, alias or tag"),
        ("a: !!str 1", "anchor, alias or tag"),
        ("a: !!set {b}", "anchor, alias or tag"),
        ("a: ! 3", "anchor, alias or tag"),
        ("? a\n: &x 1", "anchor, alias or tag"),
        ("a: " + "[" * 201 + "]" * 201, "more than 50 levels deep"),
        ("a:\n" + "".join(f"{' ' * n}b:\n" for n in range(1, 70)), "more than 50 levels deep"),
        ("a:\n  " + "- " * 60 + "b", "more than 50 levels deep"),
    ],
    ids=lambda text: text[:12],
)
def test_an_invalid_or_harmful_file_is_refused(tmp_path, text, problem):
    with pytest.raises(CorruptRun, match=problem):
        read(tmp_path, text)


def test_a_folder_without_a_config_is_refused(tmp_path):
    with pytest.raises(CorruptRun, match=r"has no config.yaml: the run was refused before"):
        read_config(tmp_path)


def test_text_that_only_looks_like_yaml_syntax_is_read(tmp_path):
    saved = {"a": "what?", "b": "x & y", "c": "wow!"}
    assert read(tmp_path, yaml.safe_dump(saved)) == saved


def test_leaves_have_dotted_names():
    found = dict(leaves({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}, "f": None}))
    assert found == {"a.b": "1", "a.c.d": "[1, 2]", "e": "{}", "f": "null"}


def test_equal_numbers_have_the_same_text():
    assert as_text(2) == as_text(2.0) == "2"
    assert as_text(0.1) == "0.1"
    assert as_text(True) == "true"
    assert as_text(True) != as_text(1)
    assert as_text(float("inf")) == "Infinity"
    assert as_text("x y") == "x y"


def test_different_values_have_different_printable_texts():
    values = [1, True, None, [], {}, [1], 1.5, float("inf"), "", " ", "a", "a ", "a b", "a  b"]
    values += [
        "1",
        "true",
        "null",
        "[]",
        "{}",
        "[1]",
        "1.5",
        "Infinity",
        "\x1b[2J",
        "a\u202eb",
        '"a"',
    ]
    values += ["a, b=1", "None", "–"]
    texts = [as_text(value) for value in values]
    assert len(set(texts)) == len(values)
    assert all(text and text.isprintable() and text == text.strip() for text in texts)


def test_names_of_different_settings_differ():
    trees = ({"a": {"b": 1}}, {"a.b": 1}, {'a"."b': 1}, {"a": {"1": 1}}, {"a": {1: 1}}, {"a=b": 1})
    assert len({next(leaves(tree)) for tree in trees}) == len(trees)
