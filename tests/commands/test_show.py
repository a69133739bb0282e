"""The command `show`, end to end."""

import json
from pathlib import Path

import pytest

from mbrl.__main__ import main
from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.runs.checkpoints import save_checkpoint
from mbrl.runs.folder import RunFolder
from mbrl.runs.provenance import provenance
from tests.configs import new_run_info
from tests.faults.runs import QUICK, run_here


def save_run(folder: Path, *overrides: str) -> None:
    """Write the files of a completed run, without running it."""
    config = compose(overrides)
    with RunFolder(folder, resolve(config).to_yaml()) as run:
        info = new_run_info(config)
        run.write_provenance(provenance(config.seed, config.num_threads) | info.to_provenance())
        save_checkpoint(folder, {}, {"env_steps": 60}, max_checkpoints=1)
        run.finish("completed", {"env_steps": 60, "wall_seconds": 61.0})


def shown(folder: Path, capsys) -> list[str]:
    """The lines of the tables, without their frames."""
    capsys.readouterr()
    assert main(["show", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [" ".join(line.replace("│", " ").split()) for line in lines]


def test_a_run_is_shown_with_its_result_and_the_settings_that_are_not_the_defaults(
    tmp_path, capsys
):
    overrides = ["training=smoke", "logger=files", "env=pendulum", "env.episode_limit=50"]
    overrides += ["planner=mcts", "planner.num_simulations=6", "seed=3", "discount=0.9"]
    save_run(tmp_path, *overrides)
    lines = shown(tmp_path, capsys)
    for expected in (
        "run pendulum_ensemble_mcts_seed3",
        "status completed",
        "environment Pendulum-v1",
        "env steps 60 of 60",
        "last checkpoint 60 env steps",
        "wall time 1:01",
        "env cartpole pendulum",
        "planner cem mcts",
        "discount 0.99 0.9",
        "env.episode_limit 200 50",
        "planner.num_simulations 48 6",
    ):
        assert expected in lines
    assert not [line for line in lines if line.startswith(("planner.max_depth", "seed 0"))]
    assert any(line.startswith("versions Python") for line in lines)


def settings_shown(lines: list[str]) -> list[str]:
    """The names in the table of settings."""
    start, end = (i for i, line in enumerate(lines) if line.startswith(("Not the", "Computed by")))
    return [line.split()[0] for line in lines[start + 1 : end] if line[:1].isalpha()]


def test_a_choice_that_is_not_here_is_not_compared_with_another(tmp_path, capsys):
    """Neither with the default, nor do settings that follow from it count as changed."""
    save_run(tmp_path, "env=pendulum", "planner.horizon=7")
    file = tmp_path / "provenance.json"
    facts = json.loads(file.read_text())
    assert settings_shown(shown(tmp_path, capsys)) == ["env", "planner.horizon"]
    facts["choices"]["env"] = "theirs"
    file.write_text(json.dumps(facts))
    lines = shown(tmp_path, capsys)
    assert "env cartpole theirs" in lines
    assert settings_shown(lines) == ["env", "planner.horizon"]
    file.unlink()
    lines = shown(tmp_path, capsys)
    assert "What was chosen is unknown; all settings are in config.yaml" in lines
    assert not [line for line in lines if line.startswith("Not the defaults")]


@pytest.mark.slow
def test_a_run_is_shown_with_and_without_its_other_files(tmp_path, capsys):
    run_here(tmp_path / "run", *QUICK)
    lines = shown(tmp_path / "run", capsys)
    assert "status completed" in lines
    assert "planner cem random" in lines
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.yaml").write_bytes((tmp_path / "run" / "config.yaml").read_bytes())
    output = "\n".join(shown(bare, capsys))
    assert "never started" in output
    assert "the run ended before it was written" in output
