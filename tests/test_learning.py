"""Shorter runs with the default settings learn; the bounds are far from the usual returns."""

import pytest

from mbrl.config.compose import compose
from mbrl.experiment import run

pytestmark = pytest.mark.slow


def test_mcts_learns_to_hold_the_pole(tmp_path):
    overrides = [
        "planner=mcts",
        "seed=100",
        "training.env_steps=1500",
        "training.evaluate_every=1500",
    ]
    # Random actions hold the pole for 22 steps; 400 to 500 are usual here.
    assert run(compose([*overrides, "logger=files", f"hydra.run.dir={tmp_path}"])) > 200


def test_cem_learns_to_swing_the_pendulum_up(tmp_path):
    overrides = [
        "env=pendulum",
        "seed=102",
        "training.env_steps=800",
        "training.evaluate_every=800",
        "training.final_evaluation_episodes=6",
    ]
    # Random actions return -1200; -180 to -140 are usual here.
    assert run(compose([*overrides, "logger=files", f"hydra.run.dir={tmp_path}"])) > -500
