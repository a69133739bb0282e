"""The result of a run is its score, a float, wherever it goes."""

import copy
import json
import pickle

import numpy as np
import pytest

from mbrl.runs.result import RunResult


@pytest.fixture
def result(tmp_path) -> RunResult:
    rows = [{"env_steps": 10, "loss/value": 0.5}, {"env_steps": 20, "evaluation/return_mean": -1.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return RunResult(-1.5, tmp_path)


def test_a_result_is_a_number(result):
    assert isinstance(result, float)
    assert (result, result + 1, max(result, -2.0)) == (-1.5, -0.5, -1.5)
    assert type(result.score) is type(float(result)) is float
    assert {result: 1}[-1.5] == 1
    assert json.dumps([result]) == "[-1.5]"
    assert f"{result} {result:.2f} {result!s}" == "-1.5 -1.50 -1.5"
    assert np.array([result, result]).dtype == float


def test_a_notebook_shows_the_folder_too(result):
    assert repr(result) == f"RunResult(score=-1.5, folder={str(result.folder)!r})"


@pytest.mark.parametrize(
    "travel",
    [
        lambda result: pickle.loads(pickle.dumps(result)),
        lambda result: pickle.loads(pickle.dumps(result, protocol=2)),
        copy.copy,
        copy.deepcopy,
    ],
    ids=["pickle", "old pickle", "copy", "deepcopy"],
)
def test_it_travels_between_processes_with_its_folder(result, travel):
    arrived = travel(result)
    assert (arrived, arrived.folder) == (result, result.folder)
    np.testing.assert_array_equal(arrived.metrics["loss/value"], [0.5, np.nan])


def test_its_metrics_are_the_rows_of_the_run(result):
    assert list(result.metrics["env_steps"]) == [10, 20]
    assert dict(result.metrics.having("loss/value")) == {"env_steps": [10], "loss/value": [0.5]}
