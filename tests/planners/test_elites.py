"""Elites: their weights by hand, and invalid settings."""

import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.cem import CEM
from mbrl.planners.elites import elite_weights
from mbrl.planners.icem import ICEM
from mbrl.types import Discrete

INF = np.inf
SETTINGS = {
    "discount": 1.0,
    "horizon": 3,
    "num_policy_plans": 0,
    "population_size": 30,
    "num_elites": 10,
    "num_iterations": 4,
    "momentum": 0.1,
}
SETTINGS |= {"initial_std": 0.5, "return_mode": "mode"}
ICEM_SETTINGS = {"noise_exponent": 2.0, "population_decay": 1.25, "elite_reuse_fraction": 0.3}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.0, 3.0, 1.0, 2.0, -1.0], [0, 1 / 3, 1 / 3, 1 / 3, 0]),
        ([-7.0, -9.0, -6.0, -8.0, -5.0], [1 / 3, 0, 1 / 3, 0, 1 / 3]),
        ([-INF, 3.0, -INF, 2.0, -INF], [0, 1 / 2, 0, 1 / 2, 0]),
        ([-INF, -INF, -INF, -INF, -4.0], [0, 0, 0, 0, 1]),
        ([1.0, 1.0, 1.0, 1.0, 1.0], [1 / 3, 1 / 3, 1 / 3, 0, 0]),
        ([-INF, -INF, -INF, -INF, -INF], [0, 0, 0, 0, 0]),
    ],
    ids=["best three", "negative", "two finite ones", "one finite one", "ties", "none"],
)
def test_elites_have_equal_weights(scores, expected):
    np.testing.assert_allclose(elite_weights(jnp.array(scores), 3), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_iterations": 0}, r"planner.num_iterations=0: must be at least 1"),
        ({"num_elites": 0}, r"planner.num_elites=0: must be at least 1"),
        (
            {"num_elites": 31},
            r"planner.num_elites=31: must not exceed planner.population_size=30. Lower the first",
        ),
        ({"momentum": 1.0}, r"planner.momentum=1.0: must be in \[0, 1\)"),
        ({"momentum": -0.1}, r"planner.momentum=-0.1: must be in \[0, 1\)"),
        ({"initial_std": 0.0}, r"planner.initial_std=0.0: must be positive"),
        ({"return_mode": "mean"}, r"planner.return_mode=mean: must be 'mode' or 'best_sample'"),
    ],
)
@pytest.mark.parametrize(
    ("planner", "settings"),
    [(CEM, SETTINGS), (ICEM, SETTINGS | ICEM_SETTINGS)],
    ids=["cem", "icem"],
)
def test_invalid_settings_are_rejected(planner, settings, changes, message):
    with pytest.raises(ValueError, match=message):
        planner(Discrete(3), **(settings | changes))
