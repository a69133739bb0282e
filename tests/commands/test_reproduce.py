"""The command `reproduce`, end to end."""

import json
import shutil
from pathlib import Path

import pytest

from mbrl.__main__ import main
from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.errors import ConfigError
from mbrl.runs.reader import read_metrics, read_summary
from tests.faults.runs import QUICK, run_here

pytestmark = pytest.mark.slow

SMALL = ("training=smoke", "logger=files", "env.episode_limit=50")
# Settings that experiments change.
SHORT = (
    "training.evaluation_episodes=2",
    "model.fit_value.num_updates=5",
    "model.fit_value.rollout_length=5",
    "training.env_steps=60",
)
EXPERIMENTS = sorted(path.stem for path in (CONFIG_FOLDER / "experiment").glob("*.yaml"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return run_here(tmp_path_factory.mktemp("saved") / "run", *QUICK)


def copy_files(saved: Path, folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        shutil.copy(saved / name, folder / name)
    return folder


def add_to_metric(folder: Path, name: str, difference: float) -> dict:
    """Change the first value of a metric; return its row."""
    rows = read_metrics(folder)
    row = next(row for row in rows if name in row)
    row[name] += difference
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return row


def reproduce(saved: Path, folder: Path, *options: str) -> int:
    return main(["reproduce", str(saved), f"--folder={folder}", *options])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_reproduced_bit_by_bit(tmp_path, experiment, capsys):
    saved = run_here(tmp_path / "saved", f"experiment={experiment}", *SMALL, *SHORT)
    assert reproduce(saved, tmp_path / "again") == 0
    assert "The same bit by bit: all" in capsys.readouterr().out
    assert len(read_metrics(tmp_path / "again")) == len(read_metrics(saved)) >= 5


def test_config_and_metrics_are_enough(tmp_path, saved):
    alone = copy_files(saved, tmp_path / "alone", "config.yaml", "metrics.jsonl")
    assert reproduce(alone / "config.yaml", tmp_path / "again") == 0


def test_differences_are_shown_with_possible_reasons(tmp_path, saved, capsys):
    files = ("config.yaml", "metrics.jsonl", "provenance.json")
    other = copy_files(saved, tmp_path / "other", *files)
    row = add_to_metric(other, "evaluation/return_mean", 0.125)
    provenance = json.loads((other / "provenance.json").read_text())
    provenance["packages"]["jax"] = "0.0.1"
    (other / "provenance.json").write_text(json.dumps(provenance))
    assert reproduce(other, tmp_path / "again") == 1
    output = " ".join(capsys.readouterr().out.split())
    for expected in ("evaluation/return_mean", str(row["env_steps"]), "package jax", "0.0.1"):
        assert expected in output
    assert reproduce(other, tmp_path / "tolerated", "--tolerance=0.01") == 0


def test_a_reproduction_starts_no_run_in_wandb(tmp_path, saved):
    folder = copy_files(saved, tmp_path / "with_wandb", "config.yaml", "metrics.jsonl")
    config = (folder / "config.yaml").read_text()
    wandb = "logger:\n  wandb:\n    _target_: mbrl.loggers.wandb.WandbLogger\n    mode: offline\n"
    (folder / "config.yaml").write_text(config.replace("logger:\n", wandb))
    assert reproduce(folder, tmp_path / "again") == 0
    assert not (tmp_path / "again" / "wandb").exists()


def test_settings_cannot_be_changed(tmp_path, saved):
    with pytest.raises(ConfigError, match="seed=4: cannot be changed here"):
        reproduce(saved, tmp_path / "again", "seed=4")


def test_a_sweep_is_reproduced_job_by_job(tmp_path, saved, capfd):
    files = ("config.yaml", "metrics.jsonl")
    same = copy_files(saved, tmp_path / "sweep" / "0_first", *files)
    different = copy_files(saved, tmp_path / "sweep" / "1_second", *files)
    add_to_metric(different, "evaluation/return_mean", 1.0)
    assert reproduce(tmp_path / "sweep", tmp_path / "again") == 1
    assert read_summary(tmp_path / "again" / same.name)["status"] == "completed"
    lines = capfd.readouterr().out.splitlines()
    [first] = [line for line in lines if same.name in line and "the same" in line]
    [second] = [line for line in lines if different.name in line and "different" in line]
    assert lines.index(first) < lines.index(second)
