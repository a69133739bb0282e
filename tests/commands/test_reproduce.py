"""`reproduce`: every experiment again, to the bit; and what is said where it is not the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mbrl.__main__ import main
from mbrl.config.compose import CONFIG_FOLDER
from mbrl.errors import ConfigError
from mbrl.runs.reader import read_metrics, read_summary
from tests.faults.runs import PLANNERS, ROOT, run_here

pytestmark = pytest.mark.slow

SMALL = ("training=smoke", "logger=files", "env.episode_limit=50")
# Experiments say otherwise of these.
FEW = (
    "training.evaluation_episodes=2",
    "training.value_learner.num_updates=5",
    "training.value_learner.rollout_length=5",
    "training.env_steps=60",
)
EXPERIMENTS = sorted(path.stem for path in (CONFIG_FOLDER / "experiment").glob("*.yaml"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return run_here(tmp_path_factory.mktemp("saved") / "run", *SMALL, *PLANNERS["mcts"])


def reproduce(saved: Path, folder: Path, *options: str) -> int:
    return main(["reproduce", str(saved), f"--folder={folder}", *options])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_reproduced_to_the_bit(tmp_path, experiment, capsys):
    saved = run_here(tmp_path / "saved", f"experiment={experiment}", *SMALL, *FEW)
    assert reproduce(saved, tmp_path / "again") == 0
    assert "The same to the bit: all" in capsys.readouterr().out
    assert len(read_metrics(tmp_path / "again")) == len(read_metrics(saved)) >= 5


def test_the_config_alone_is_enough(tmp_path, saved):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "config.yaml").write_bytes((saved / "config.yaml").read_bytes())
    (alone / "metrics.jsonl").write_bytes((saved / "metrics.jsonl").read_bytes())
    assert reproduce(alone / "config.yaml", tmp_path / "again") == 0


def test_what_differs_is_named_with_what_may_explain_it(tmp_path, saved, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yaml").write_bytes((saved / "config.yaml").read_bytes())
    rows = read_metrics(saved)
    learned = next(row for row in rows if "loss/dynamics" in row)
    learned["loss/dynamics"] *= 1.001
    (other / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    provenance = json.loads((saved / "provenance.json").read_text())
    provenance["packages"]["jax"] = "0.0.1"
    (other / "provenance.json").write_text(json.dumps(provenance))
    assert reproduce(other, tmp_path / "again") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "loss/dynamics" in said
    assert str(learned["env_steps"]) in said
    assert "0.000999" in said
    assert "package jax" in said
    assert "0.0.1" in said
    assert reproduce(other, tmp_path / "tolerated", "--tolerance=0.01") == 0


def test_a_reproduction_makes_no_run_in_wandb(tmp_path, saved):
    config = (saved / "config.yaml").read_text()
    with_wandb = tmp_path / "with_wandb"
    with_wandb.mkdir()
    wandb = "logger:\n  wandb:\n    _target_: mbrl.loggers.wandb.WandbLogger\n    mode: offline\n"
    (with_wandb / "config.yaml").write_text(config.replace("logger:\n", wandb))
    (with_wandb / "metrics.jsonl").write_bytes((saved / "metrics.jsonl").read_bytes())
    assert reproduce(with_wandb, tmp_path / "again") == 0
    assert not (tmp_path / "again" / "wandb").exists()


def test_settings_cannot_be_changed(tmp_path, saved):
    with pytest.raises(ConfigError, match="seed=4 cannot be said here"):
        reproduce(saved, tmp_path / "again", "seed=4")


def test_a_sweep_is_reproduced_job_by_job_each_with_its_threads(tmp_path):
    sweep = tmp_path / "sweep"
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "-m",
        *SMALL,
        "planner=random",
        "seed=0,1",
        f"hydra.sweep.dir={sweep}",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    # As if its computation had been another's: only this job differs.
    first, second = sorted(folder for folder in sweep.iterdir() if folder.is_dir())
    rows = read_metrics(second)
    rows[-1]["evaluation/return_mean"] += 1.0
    (second / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = subprocess.run(
        [sys.executable, "-m", "mbrl", "reproduce", str(sweep), f"--folder={tmp_path / 'again'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1, result.stderr
    assert read_summary(tmp_path / "again" / first.name)["status"] == "completed"
    lines = [
        line for line in result.stdout.splitlines() if first.name in line or second.name in line
    ]
    assert [("the same" in line, "different" in line) for line in lines[-2:]] == [
        (True, False),
        (False, True),
    ]
