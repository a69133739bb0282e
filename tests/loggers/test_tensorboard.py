"""Event files, read back by TensorBoard's own reader."""

import json
import sys

import pytest

from mbrl.__main__ import main
from mbrl.config.compose import compose
from mbrl.errors import ConfigError
from mbrl.experiment import run
from mbrl.loggers.tensorboard import TensorBoardLogger
from mbrl.run_info import RunInfo
from mbrl.runs.reader import read_metrics

ROWS = [
    {"env_steps": 20, "wall_seconds": 10.0, "episode/return": 20.0, "episode/length": 20},
    {"env_steps": 40, "wall_seconds": 30.0, "loss/dynamics": 0.25},
    {"env_steps": 40, "wall_seconds": 60.0, "evaluation/returns": [10.0, 10.0, 30.0]},
]
CONFIG = {
    "seed": 3,
    "discount": 0.99,
    "planner": {"horizon": 15, "policy": "gumbel", "shift": True, "sizes": [1, 2], "none": None},
    "logger": {"files": {"_target_": "FilesLogger"}},
}


def start(folder, num_rows=0):
    choices = {"env": "cartpole", "planner": "cem"}
    return TensorBoardLogger(
        RunInfo(folder, "run", choices=choices, config=CONFIG, num_rows=num_rows)
    )


def log(folder, rows, num_rows=0):
    logger = start(folder, num_rows)
    for row in rows:
        logger.log(row)
    logger.finish("completed")


def reader(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder / "tensorboard")).Reload()


def scalars(read):
    """The points of each metric: pairs of a step and a value."""
    names = read.Tags()["scalars"]
    return {name: [(event.step, event.value) for event in read.Scalars(name)] for name in names}


def histogram(read, name):
    """The step of the only histogram of a metric, and its buckets that are not empty."""
    from tensorboard.util.tensor_util import make_ndarray

    [event] = read.Tensors(name)
    buckets = make_ndarray(event.tensor_proto).tolist()
    return event.step, [bucket for bucket in buckets if bucket[2] > 0]


@pytest.mark.extras
def test_rows_are_scalars_and_histograms_over_env_steps(tmp_path):
    log(tmp_path, ROWS)
    read = reader(tmp_path)
    assert scalars(read) == {
        "episode/return": [(20, 20.0)],
        "episode/length": [(20, 20.0)],
        "loss/dynamics": [(40, 0.25)],
    }
    step, buckets = histogram(read, "evaluation/returns")
    assert step == 40
    assert [count for _, _, count in buckets] == [2, 1]
    assert (buckets[0][0], buckets[1][1]) == (10.0, 30.0)


@pytest.mark.extras
def test_a_row_can_be_read_at_once(tmp_path):
    logger = start(tmp_path)
    logger.log(ROWS[0])
    assert scalars(reader(tmp_path))["episode/return"] == [(20, 20.0)]
    logger.finish("interrupted")


@pytest.mark.extras
def test_values_that_are_not_finite_are_left_out(tmp_path):
    row = {"env_steps": 1, "wall_seconds": 0.0, "loss/value": None}
    log(tmp_path, [row | {"evaluation/returns": [None, 2.0], "evaluation/lengths": [None]}])
    read = reader(tmp_path)
    assert scalars(read) == {}
    assert [count for _, _, count in histogram(read, "evaluation/returns")[1]] == [1]
    assert "evaluation/lengths" not in read.Tags()["tensors"]


@pytest.mark.extras
def test_the_options_and_settings_are_hyperparameters(tmp_path):
    from tensorboard.plugins.hparams import metadata

    log(tmp_path, ROWS)
    summary = reader(tmp_path).SummaryMetadata(metadata.SESSION_START_INFO_TAG)
    recorded = metadata.parse_session_start_info_plugin_data(summary.plugin_data.content).hparams
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in recorded.items()}
    assert values == {
        "env": "cartpole",
        "planner": "cem",
        "seed": 3,
        "discount": 0.99,
        "planner.horizon": 15,
        "planner.policy": "gumbel",
        "planner.shift": True,
        "planner.sizes": "[1, 2]",
    }


@pytest.mark.extras
@pytest.mark.parametrize("num_rows", [0, 1, 2])
def test_a_resumed_run_has_each_point_once_also_in_an_open_tensorboard(tmp_path, num_rows):
    log(tmp_path, ROWS)
    opened = reader(tmp_path)
    lines = [json.dumps(row) + "\n" for row in ROWS[:num_rows]]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    log(tmp_path, ROWS[num_rows:], num_rows)
    log(tmp_path / "uninterrupted", ROWS)
    expected = scalars(reader(tmp_path / "uninterrupted"))
    assert scalars(reader(tmp_path)) == expected
    assert scalars(opened.Reload()) == expected
    histogram(reader(tmp_path), "evaluation/returns")


@pytest.mark.extras
def test_the_time_axis_is_that_of_the_run_and_not_of_its_resumes(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:1]))
    log(tmp_path, ROWS[1:], num_rows=1)
    read = reader(tmp_path)
    [first], [second] = read.Scalars("episode/return"), read.Scalars("loss/dynamics")
    assert second.wall_time - first.wall_time == pytest.approx(20.0)


@pytest.mark.extras
def test_a_run_and_its_extension_have_the_rows_of_the_files(tmp_path):
    overrides = ["training=smoke", "planner=random", "logger=tensorboard", "~logger.console"]
    run(compose([*overrides, f"hydra.run.dir={tmp_path}"]))
    assert main(["resume", str(tmp_path), "training.env_steps=80"]) == 0
    rows, points = read_metrics(tmp_path), scalars(reader(tmp_path))
    assert rows[-1]["env_steps"] == 80
    names = {name for row in rows for name, value in row.items() if not isinstance(value, list)}
    assert points.keys() == names - {"env_steps", "wall_seconds"}
    for name in points:
        values = [(row["env_steps"], row[name]) for row in rows if row.get(name) is not None]
        assert [step for step, _ in points[name]] == [step for step, _ in values]
        assert [value for _, value in points[name]] == pytest.approx([v for _, v in values])


def test_without_the_extra_the_error_says_what_to_install(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it was not installed
    with pytest.raises(ConfigError) as caught:
        start(tmp_path)
    assert str(caught.value) == (
        "logger=tensorboard needs the package tensorboard, which is not installed: "
        "pip install 'mbrl-experiments[tensorboard]'."
    )
    assert list(tmp_path.iterdir()) == []
