"""Rows as columns of arrays."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mbrl.errors import ConfigError
from mbrl.runs.columns import Columns

ROWS = [
    {"env_steps": 10, "loss/value": 0.5, "name": "a"},
    {"env_steps": 10, "evaluation/return_mean": 3.0, "evaluation/returns": [2.0, 4.0]},
    {"env_steps": 20, "evaluation/return_mean": None, "evaluation/returns": [None, 4.0], "few": 1},
]


def test_a_number_that_a_row_lacks_is_nan():
    columns = Columns.from_rows(ROWS)
    assert list(columns)[:2] == ["env_steps", "loss/value"]
    assert columns["env_steps"].dtype == int
    np.testing.assert_array_equal(columns["env_steps"], [10, 10, 20])
    np.testing.assert_array_equal(columns["loss/value"], [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(columns["evaluation/return_mean"], [np.nan, 3, np.nan])
    np.testing.assert_array_equal(columns["few"], [np.nan, np.nan, 1])
    assert list(columns["name"]) == ["a", "", ""]


def test_a_list_is_an_array_and_none_where_a_row_lacks_it():
    first, second, third = Columns.from_rows(ROWS)["evaluation/returns"]
    assert first is None
    np.testing.assert_array_equal(second, [2, 4])
    np.testing.assert_array_equal(third, [np.nan, 4])


@pytest.mark.parametrize(
    ("name", "rows", "names"),
    [
        ("loss/value", [10], ["env_steps", "loss/value", "name"]),
        ("evaluation/return_mean", [10], [*ROWS[1]]),
        (
            "evaluation/returns",
            [10, 20],
            ["env_steps", "evaluation/return_mean", "evaluation/returns", "few"],
        ),
        ("name", [10], [*ROWS[0]]),
        ("env_steps", [10, 10, 20], [*Columns.from_rows(ROWS)]),
    ],
)
def test_rows_with_a_value_can_be_selected(name, rows, names):
    chosen = Columns.from_rows(ROWS).having(name)
    assert list(chosen["env_steps"]) == rows
    assert sorted(chosen) == sorted(names)
    assert {len(column) for column in chosen.values()} == {len(rows)}


def test_whole_numbers_and_truth_values_keep_their_kind():
    columns = Columns.from_rows([{"a": True, "b": 2**40}, {"a": False, "b": 1}])
    assert (columns["a"].dtype, columns["b"].dtype) == (bool, int)
    columns = Columns.from_rows([{"a": True, "b": 1}, {"a": 2, "b": "x"}])  # of several kinds
    assert [list(columns["a"]), list(columns["b"])] == [[True, 2], [1, "x"]]


def test_without_rows_there_are_no_columns():
    assert Columns.from_rows([]) == {}
    assert repr(Columns.from_rows([])) == "<Columns: 0 rows of nothing>"


def test_a_table_is_shown_by_its_size_and_its_names():
    assert repr(Columns.from_rows(ROWS[:1])) == "<Columns: 1 rows of env_steps, loss/value, name>"


def test_pandas_gets_every_column(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=dict))
    columns = Columns.from_rows(ROWS)
    assert columns.to_pandas().keys() == columns.keys()


def test_without_pandas_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="python -m pip install pandas"):
        Columns.from_rows(ROWS).to_pandas()
