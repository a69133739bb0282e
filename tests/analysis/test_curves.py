"""Learning curves of many runs as one table."""

import csv
import json

import numpy as np
import pytest

from mbrl.analysis.curves import FIRST, LAST, load_metrics, write_curves
from mbrl.errors import ConfigError
from tests.analysis.made_runs import make_run


def test_each_evaluation_is_a_row_with_what_its_run_is(tmp_path):
    make_run(tmp_path / "a", (10.0, None), seed=3)
    make_run(tmp_path / "b", (30.0,), planner="mcts", env="pendulum", status="killed")
    curves = load_metrics(tmp_path)
    assert list(curves) == [*FIRST, *LAST]  # the planner is the only difference
    expected = {
        "folder": [str(tmp_path / "a")] * 2 + [str(tmp_path / "b")],
        "group": ["planner=cem"] * 2 + ["planner=mcts"],
        "environment": ["CartPole-v1"] * 2 + ["Pendulum-v1"],
        "model": ["ensemble"] * 3,
        "planner": ["cem", "cem", "mcts"],
        "seed": [3, 3, 0],
        "status": ["completed", "completed", "killed"],
        "env_steps": [50, 100, 50],
        "wall_seconds": [5.0, 10.0, 5.0],
        "evaluation/return_mean": [10.0, np.nan, 30.0],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(curves[name], values, err_msg=name)
    assert (curves["seed"].dtype, curves["env_steps"].dtype) == (int, int)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((3, 5), [3, 5]),
        ((3, 0.5), [3.0, 0.5]),
        ((None, 0.5), [np.nan, 0.5]),
        ((True, False), [True, False]),
        (("a", "=b"), ["a", "=b"]),
        (([1, 2], []), ["[1, 2]", "[]"]),
        ((10**400, 3), [str(10**400), 3]),
        ((None, "a"), ["", "a"]),
    ],
    ids=["whole", "numbers", "null", "truth", "text", "lists", "huge", "null or text"],
)
def test_a_setting_that_differs_is_a_column_of_its_kind(tmp_path, values, expected):
    for index, value in enumerate(values):
        make_run(tmp_path / str(index), (1.0,), model__num_members=value)
    curves = load_metrics(tmp_path)
    assert list(curves) == [*FIRST, "model.num_members", *LAST]
    np.testing.assert_array_equal(curves["model.num_members"].tolist(), expected)
    write_curves(curves, tmp_path / "curves.csv")
    with (tmp_path / "curves.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["evaluation/return_mean"] for line in lines] == ["1.0", "1.0"]
    written = [line["model.num_members"] for line in lines]
    if expected[0] == "a":
        assert written == ["a", "'=b"]
    assert ("" in written) == (None in values)


def test_a_setting_that_a_run_lacks_is_nan(tmp_path):
    make_run(tmp_path / "a", (1.0,), planner__num_elites=8)
    make_run(tmp_path / "b", (1.0,), planner__num_elites=4)
    config = json.loads((tmp_path / "a" / "provenance.json").read_text())
    assert config["choices"]["planner"] == "cem"
    text = (tmp_path / "b" / "config.yaml").read_text()
    (tmp_path / "b" / "config.yaml").write_text(text.replace("  num_elites: 4\n", ""))
    np.testing.assert_array_equal(load_metrics(tmp_path)["planner.num_elites"], [8, np.nan])


@pytest.mark.parametrize("kind", [str, list, tuple, iter])
def test_folders_may_be_runs_sweeps_and_what_contains_them(tmp_path, kind):
    for seed in range(2):
        make_run(tmp_path / "sweep" / f"{seed}_seed={seed}", (1.0, 2.0), seed=seed)
    make_run(tmp_path / "run", (3.0,))
    make_run(tmp_path / "reproductions" / "run", (4.0,))
    folders = tmp_path if kind is str else [tmp_path / "sweep", str(tmp_path / "run")]
    curves = load_metrics(kind(folders))
    assert sorted(curves["evaluation/return_mean"]) == [1, 1, 2, 2, 3]


def test_damaged_runs_are_named_in_warnings(tmp_path, caplog):
    make_run(tmp_path / "good", (1.0,))
    (make_run(tmp_path / "bad") / "config.yaml").write_text("[")
    (make_run(tmp_path / "worse") / "metrics.jsonl").write_text("damaged\n{}\n")
    assert len(load_metrics(tmp_path)["env_steps"]) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    for name, message in zip(("bad", "worse"), caplog.messages, strict=True):
        assert message.startswith("Left out: ")
        assert str(tmp_path / name) in message


def test_a_failed_run_without_a_valid_config_is_named_in_the_warning(tmp_path, caplog):
    make_run(tmp_path / "good", (1.0,))
    refused = make_run(tmp_path / "refused", status="failed", error="ConfigError: horizon=0")
    (refused / "config.yaml").write_text("[")
    load_metrics(tmp_path)
    assert caplog.messages == [f"Left out: {refused}: ConfigError: horizon=0"]


def test_without_evaluations_the_columns_are_empty(tmp_path):
    make_run(tmp_path / "run", status=None)
    curves = load_metrics(tmp_path)
    assert list(curves) == [*FIRST, *LAST]
    assert {len(column) for column in curves.values()} == {0}


def test_what_contains_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"contains no run, .* Check the path\."):
        load_metrics(tmp_path)
    with pytest.raises(ConfigError, match="missing is not a folder"):
        load_metrics([tmp_path, tmp_path / "missing"])
