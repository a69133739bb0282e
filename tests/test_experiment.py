"""Tiny whole runs: what they leave, that they repeat, and that W&B records what the files do."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from mbrl.__main__ import main
from mbrl.config.compose import compose
from mbrl.errors import ConfigError, RunError
from mbrl.experiment import run
from mbrl.loggers.metrics import METRICS
from mbrl.run_info import checkpoint_files
from mbrl.runs.metric_diff import differences
from mbrl.runs.reader import read_metrics, read_summary
from tests.faults.runs import BREAKABLE

ROOT = Path(__file__).parent.parent
SMALL = {
    "cem": ["planner.population_size=8", "planner.num_elites=2", "planner.horizon=4"],
    "mcts": ["planner.num_simulations=6", "planner.max_depth=3"],
}


# Logged only with model.disagreement_bonus.
BONUS_METRICS = {"loss/curious_value", "value/curious_mean", "value/curious_disagreement"}


def smoke(folder: Path, *overrides: str) -> float:
    return run(compose(["training=smoke", f"hydra.run.dir={folder}", *overrides]))


def wandb_rows(folder: Path) -> list[dict]:
    """The records of an offline W&B run, read by W&B's own tool."""
    (offline,) = (folder / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(offline)]
    lines = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_leaves_everything_that_the_readme_lists(tmp_path):
    score = smoke(tmp_path, "seed=3")
    summary = read_summary(tmp_path)
    assert summary["status"] == "completed"
    assert summary["evaluation/return_mean"] == score
    assert summary["env_steps"] == 60
    rows = read_metrics(tmp_path)
    assert [row["env_steps"] for row in rows] == sorted(row["env_steps"] for row in rows)
    assert METRICS.keys() <= set().union(*rows)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["seed"] == 3
    assert config["model"]["fit_value"]["discount"] == config["discount"]
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["packages"]["jax"]
    assert matplotlib.image.imread(tmp_path / "learning_curve.png").shape[0] > 500


def test_the_log_tells_the_story_of_the_run_and_not_that_of_libraries(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    smoke(tmp_path, "planner=random", "logger=files")
    assert {record.name.partition(".")[0] for record in caplog.records} == {"mbrl"}
    story = "\n".join(record.getMessage() for record in caplog.records)
    expected = (
        r"cartpole_ensemble_random_seed0 on cpu\. From step 0, to 60\.",
        r"Environment CartPole-v1: 4 numbers an observation, actions Discrete\(num_actions=2\)",
        r"Learner EnsembleLearner\. Trainable parameters: \d+ \(model\), \d+ \(value\)\.",
        r"Planner RandomPlanner\. Replay buffer: 1000 time steps, 0\.0 MB\.",
        r"40 real steps: learned in \d+\.\d s\.",
        r"40 real steps: evaluated: return .+, 2 episodes\.",
        r"60 real steps: evaluated: return .+, 2 episodes\.",
        r"Completed with a return of",
    )
    for pattern in expected:
        assert re.search(pattern, story), pattern


def test_every_metric_that_is_logged_is_in_the_glossary(tmp_path):
    for planner in ("cem", "mcts", "random"):
        smoke(tmp_path / planner, f"planner={planner}", "logger=files")
        config = compose([f"planner={planner}"])
        module, _, name = config.planner._target_.rpartition(".")
        own = getattr(sys.modules[module], name).METRICS
        known = METRICS.keys() | {f"planner/{key}" for key in own}
        logged = set().union(*read_metrics(tmp_path / planner))
        assert logged <= known
        assert {f"planner/{key}" for key in own} <= logged


def test_a_run_without_a_bonus_logs_nothing_of_it(tmp_path):
    smoke(tmp_path, "planner=random", "logger=files", "model.disagreement_bonus=0")
    assert METRICS.keys() - set().union(*read_metrics(tmp_path)) == BONUS_METRICS


def test_the_evaluation_at_the_budget_may_have_more_episodes(tmp_path):
    smoke(
        tmp_path,
        "planner=random",
        "logger=files",
        "training.evaluate_every=20",
        "training.final_evaluation_episodes=3",
    )
    evaluated = {
        row["env_steps"]: row["evaluation/returns"]
        for row in read_metrics(tmp_path)
        if "evaluation/returns" in row
    }
    assert {env_steps: len(returns) for env_steps, returns in evaluated.items()} == {
        20: 2,
        40: 2,
        60: 3,
    }
    assert evaluated[60][:2] == evaluated[40]  # random actions, which learn nothing


def test_a_longer_final_evaluation_is_replaced_when_the_run_is_extended(tmp_path):
    overrides = ("planner=random", "logger=files", "training.final_evaluation_episodes=3")
    smoke(tmp_path / "longer", *overrides, "training.env_steps=80")
    smoke(tmp_path / "extended", *overrides, "training.env_steps=40")
    assert main(["resume", str(tmp_path / "extended"), "training.env_steps=80"]) == 0
    counts = [
        [
            len(row["evaluation/returns"])
            for row in read_metrics(tmp_path / name)
            if "evaluation/returns" in row
        ]
        for name in ("longer", "extended")
    ]
    assert counts == [[2, 3], [2, 3]]


FALLING_EPSILON = (
    "training.epsilon={_target_: optax.linear_schedule, init_value: 1.0, end_value: 0.0, "
    "transition_steps: 50}"
)
VALIDATED = ("model.fit_model.bootstrap=true", "model.fit_model.patience=2")
NOISY = ("training.action_noise_std=0.3", "training.action_noise_exponent=2", FALLING_EPSILON)


def test_a_run_without_its_last_checkpoint_is_extended_past_its_longer_evaluation(tmp_path):
    """A full disk at the end costs the last checkpoint; the evaluation is repeated with fewer."""
    overrides = ("planner=random", "logger=files", "training.final_evaluation_episodes=3")
    smoke(tmp_path, *overrides, "training.env_steps=40")
    max(checkpoint_files(tmp_path)).unlink()
    assert main(["resume", str(tmp_path), "training.env_steps=80"]) == 0
    evaluations = [row for row in read_metrics(tmp_path) if "evaluation/returns" in row]
    counts = {row["env_steps"]: len(row["evaluation/returns"]) for row in evaluations}
    assert counts == {40: 2, 80: 3}


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=oracle", "env=corridor"),
        (
            "model=oracle",
            "model/reward=learned",
            "env=point_mass",
            "env.kwargs.actions=multi_discrete",
            *VALIDATED,
        ),
        (
            "model=probabilistic",
            "model/propagation=ts1",
            "env=point_mass",
            "env.kwargs.actions=box",
            *NOISY,
        ),
    ],
    ids=["oracle", "oracle with a learned reward", "probabilistic and noisy"],
)
def test_every_kind_of_model_runs(tmp_path, overrides):
    smoke(
        tmp_path,
        *overrides,
        "planner=random_shooting",
        "planner.population_size=8",
        "planner.horizon=4",
        "logger=files",
    )
    summary = read_summary(tmp_path)
    assert summary["status"] == "completed"
    learned = {name for name in summary if name.startswith(("validation/", "learn/"))}
    assert bool(learned) == (
        "model/reward=learned" in overrides or "model=probabilistic" in overrides
    )
    assert all(summary[name] is not None for name in learned)


@pytest.mark.parametrize("planner", ["cem", "mcts"])
@pytest.mark.parametrize("env", ["cartpole", "pendulum"])
def test_the_same_seed_gives_the_same_metrics(tmp_path, env, planner):
    for name in ("first", "second"):
        smoke(
            tmp_path / name,
            f"env={env}",
            f"planner={planner}",
            "logger=files",
            "seed=7",
            *SMALL[planner],
        )
    assert differences(*(read_metrics(tmp_path / name) for name in ("first", "second"))) == []


def test_wandb_has_the_losses_returns_and_sizes_of_the_files(tmp_path, caplog):
    caplog.set_level(logging.INFO, "mbrl.experiment")
    smoke(tmp_path, "logger=wandb")
    records = wandb_rows(tmp_path)
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    for ours, theirs in zip(read_metrics(tmp_path), items, strict=True):
        shared = {
            name: value
            for name, value in ours.items()
            if name.startswith(("env_steps", "loss/", "evaluation/return_", "episode/"))
        }
        assert shared == {name: theirs[name] for name in shared}
    [run] = [record["run"] for record in records if record["type"] == "run"]
    model = size_in_checkpoint(tmp_path, "state.learner.model.components.")
    value = size_in_checkpoint(tmp_path, "state.learner.model.value_function.")
    assert run["config"]["update"]["num_parameters"] == {"model": model, "value": value}
    assert f"Trainable parameters: {model} (model), {value} (value)." in caplog.text


def size_in_checkpoint(folder: Path, prefix: str) -> int:
    """How many numbers the newest checkpoint has below a path."""
    with np.load(checkpoint_files(folder)[0]) as arrays:
        sizes = [arrays[name].size for name in arrays.files if name.startswith(prefix)]
    assert sizes
    return sum(sizes)


def test_any_gymnasium_environment_runs(tmp_path):
    smoke(tmp_path, "env=gymnasium", "env.id=FrozenLake-v1", "logger=files", "planner=mcts")
    assert read_summary(tmp_path)["status"] == "completed"


SHORTEST = ("training=smoke", "logger=files", "env=pendulum", "env.episode_limit=50")
SHORTEST += ("planner=random", "model=oracle", "model/value=none")


def test_a_config_runs_with_its_own_settings_whatever_was_composed_after_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, other = compose(SHORTEST), compose([*SHORTEST, "seed=1"])
    results = [run(config), run(config), run(other)]
    other.seed = 2
    results.append(run(other))
    assert results[0] == results[1] != results[2]
    assert len({result.folder for result in results}) == 4
    for result, seed in zip(results, (0, 0, 1, 2), strict=True):
        assert result.folder.parent.parent == tmp_path / "outputs" / "runs"
        assert result.folder.name.endswith(f"_pendulum_oracle_random_seed{seed}")
        assert result.score == read_summary(result.folder)["evaluation/return_mean"]
        provenance = json.loads((result.folder / "provenance.json").read_text())
        assert ("seed=1" in provenance["overrides"]) == (seed > 0)
        assert yaml.safe_load((result.folder / "config.yaml").read_text())["seed"] == seed


def test_the_result_has_all_rows_of_metrics(tmp_path):
    result = smoke(tmp_path, *SHORTEST, "training.evaluate_every=20")
    rows = read_metrics(tmp_path)
    assert list(result.metrics["env_steps"]) == [row["env_steps"] for row in rows]
    evaluations = result.metrics.having("evaluation/return_mean")
    assert list(evaluations["env_steps"]) == [20, 40, 60]
    assert evaluations["evaluation/return_mean"][-1] == result


def test_a_config_that_has_lost_its_hydra_settings_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = OmegaConf.create(OmegaConf.to_container(compose(SHORTEST)))
    with pytest.raises(ConfigError, match=r"Compose it: mbrl\.compose"):
        run(config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_from_python_leaves_what_one_from_the_command_line_leaves(tmp_path):
    overrides = [*SHORTEST, "+hydra.job.env_set.MBRL_TEST_VARIABLE=1"]
    command = [sys.executable, str(ROOT / "run.py"), *overrides, f"hydra.run.dir={tmp_path}/run_py"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    run(compose([*overrides, f"hydra.run.dir={tmp_path}/python"]))
    files = {}
    for name in ("run_py", "python"):
        paths = (path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*"))
        files[name] = sorted(str(path).split("-")[0] for path in paths)  # without checksums
    assert files["python"] == files["run_py"]
    assert ".hydra/hydra.yaml" in files["python"]
    texts = {}
    for name in files:
        for file in (".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"):
            text = (tmp_path / name / file).read_text().replace(f"{tmp_path}/{name}", "FOLDER")
            texts[name, file] = yaml.safe_load(text)
        hydra = texts[name, ".hydra/hydra.yaml"]["hydra"]
        # A single run has no use for a launcher and a sweeper.
        del hydra["launcher"], hydra["sweeper"], hydra["runtime"]["cwd"]
        for file in ("config.yaml", "provenance.json"):
            texts[name, file] = yaml.safe_load((tmp_path / name / file).read_text())
        for unique in ("command", "run_id", "started", "threads"):  # threads: the tests' XLA_FLAGS
            del texts[name, "provenance.json"][unique]
    for name, file in [key for key in texts if key[0] == "python"]:
        assert texts[name, file] == texts["run_py", file], file
    assert differences(read_metrics(tmp_path / "run_py"), read_metrics(tmp_path / "python")) == []


def test_run_log_has_the_traceback_of_a_run_that_failed_in_python(tmp_path):
    (tmp_path / "fault").write_text("raise 5")
    with pytest.raises(RunError, match="the robot fell off the table"):
        smoke(tmp_path / "run", *BREAKABLE, f"+env.kwargs.fault={tmp_path / 'fault'}")
    assert "Traceback" in (tmp_path / "run" / "run.log").read_text()


def test_a_folder_is_never_used_twice(tmp_path):
    smoke(tmp_path, "logger=files")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(FileExistsError, match="already holds a run"):
        smoke(tmp_path, "logger=files")
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("seed=-1", "seed=-1"),
        ("~planner", "planner=null: must be a mapping"),
        ("env.id=Acrobot-v1", "Give env=acrobot"),
        ("env.kwargs={wings: 2}", "do not fit env.id=CartPole-v1"),
    ],
)
def test_a_run_that_never_began_leaves_no_folder(tmp_path, override, named):
    command = [sys.executable, str(ROOT / "run.py"), "logger=files", override]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1
    assert named in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.glob("outputs/runs/*")) == []


def test_a_refusal_keeps_a_folder_that_the_command_names(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError):
        smoke(tmp_path / "run", "logger=files", "seed=-1")
    assert (tmp_path / "run").is_dir()


def test_a_refusal_keeps_the_run_that_the_folder_already_holds(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("seed: 3")
    for override in ("seed=-1", "training.env_steps=-5"):
        with pytest.raises((ConfigError, FileExistsError, RunError)):
            smoke(folder, "logger=files", override)
    assert (folder / "config.yaml").read_text() == "seed: 3"


@pytest.mark.slow
def test_a_sweep_gives_each_job_its_folder_and_wandb_run(tmp_path):
    overrides = [
        "-m",
        "planner=random,mcts",
        "seed=0,1",
        "training=smoke",
        f"hydra.sweep.dir={tmp_path}/sweeps/monday",
    ]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("WANDB")
    }
    command = [sys.executable, str(ROOT / "run.py"), *overrides]
    subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=300
    )
    folders = sorted(path for path in (tmp_path / "sweeps" / "monday").iterdir() if path.is_dir())
    assert [folder.name[0] for folder in folders] == ["0", "1", "2", "3"]
    groups, identities = set(), set()
    for folder in folders:
        assert read_summary(folder)["status"] == "completed"
        (record,) = (row["run"] for row in wandb_rows(folder) if "run" in row)
        groups.add(record.get("run_group") or record.get("runGroup"))
        identities.add(record.get("run_id") or record.get("runId"))
    assert groups == {"sweeps/monday"}
    assert len(identities) == 4
    # No leak between jobs of one process: a job of the sweep is what it is alone.
    smoke(tmp_path / "alone", "planner=mcts", "seed=1", "logger=files")
    assert differences(read_metrics(tmp_path / "alone"), read_metrics(folders[3])) == []


def test_a_run_from_python_stays_in_the_working_directory_as_from_the_command_line(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run(compose([*SHORTEST, "hydra.job.chdir=null", "hydra.run.dir=run"]))
    assert (tmp_path / "run" / "config.yaml").exists()
    assert not (tmp_path / "run" / "run").exists()
