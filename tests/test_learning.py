"""That it learns: whole runs with the default settings, shorter. Bounds are far from what is usual, and farther from random."""

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
    # Random actions hold it for 22 steps; usual here are 400 to 500.
    assert run(compose([*overrides, "logger=files", f"hydra.run.dir={tmp_path}"])) > 200


def test_cem_learns_to_swing_the_pendulum_up(tmp_path):
    overrides = [
        "env=pendulum",
        "seed=102",
        "training.env_steps=800",
        "training.evaluate_every=800",
        "training.evaluation_episodes=6",
    ]
    # Random actions cost 1200; usual here are 140 to 180.
    assert run(compose([*overrides, "logger=files", f"hydra.run.dir={tmp_path}"])) > -500
