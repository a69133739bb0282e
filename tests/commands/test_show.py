"""`show`: what a run was, at a glance."""

import pytest

from mbrl.__main__ import main
from tests.faults.runs import PLANNERS, run_here


@pytest.mark.slow
def test_a_run_is_shown_with_its_result_and_what_is_not_the_default(tmp_path, capsys):
    run_here(
        tmp_path,
        "training=smoke",
        "logger=files",
        "env=pendulum",
        "env.episode_limit=50",
        *PLANNERS["mcts"],
        "seed=3",
        "discount=0.9",
    )
    capsys.readouterr()
    assert main(["show", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    lines = [" ".join(line.replace("│", " ").split()) for line in said.splitlines()]
    for expected in (
        "run pendulum_ensemble_mcts_seed3",
        "status completed",
        "environment Pendulum-v1",
        "env steps 60 of 60",
        "last checkpoint 60 env steps",
        "env cartpole pendulum",
        "planner cem mcts",
        "discount 0.99 0.9",
        "env.episode_limit 200 50",
        "planner.num_simulations 48 6",
    ):
        assert expected in lines
    assert not [line for line in lines if line.startswith(("planner.max_depth 3", "seed 0"))]
    assert any(line.startswith("versions Python") for line in lines)


@pytest.mark.slow
def test_a_run_of_which_only_the_config_is_left_is_shown(tmp_path, capsys):
    run_here(tmp_path / "run", "training=smoke", "logger=files", "planner=random")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.yaml").write_bytes((tmp_path / "run" / "config.yaml").read_bytes())
    capsys.readouterr()
    assert main(["show", str(tmp_path / "bare")]) == 0
    said = capsys.readouterr().out
    assert "never started" in said
    assert "the run ended before it was written" in said
