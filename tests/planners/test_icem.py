"""iCEM: its schedule, reused elites and the mode in the last iteration, by hand.

Optima are tested in test_sampling.py.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.icem import ICEM
from mbrl.planners.plans import GaussianPlan
from mbrl.planners.sampling import WarmStart
from mbrl.types import Box, Discrete
from tests.planners.worlds import hill

KEY = jax.random.key(0)
START = jnp.zeros(1)


def planner(action_space=None, **changes) -> ICEM:
    settings = {
        "discount": 1.0,
        "horizon": 3,
        "num_policy_plans": 0,
        "population_size": 12,
        "num_elites": 4,
        "num_iterations": 2,
        "momentum": 0.1,
    }
    settings |= {
        "noise_exponent": 2.0,
        "population_decay": 1.25,
        "elite_reuse_fraction": 0.5,
        "initial_std": 0.5,
        "return_mode": "mode",
    }
    return ICEM(Box(1) if action_space is None else action_space, **(settings | changes))


@eqx.filter_jit
def plan(planner, world, state, key=KEY):
    return planner.plan(key, world, START, state)


@pytest.mark.parametrize(
    ("population_size", "num_elites", "population_decay", "num_iterations", "expected"),
    [
        (48, 8, 1.25, 3, (48, 38, 30)),  # 48 / 1.25 = 38.4, 38.4 / 1.25 = 30.72
        (40, 8, 2.0, 4, (40, 20, 16, 16)),  # at least twice the elites
        (10, 8, 2.0, 3, (10, 10, 10)),  # at most the first size
        (32, 4, 1.0, 3, (32, 32, 32)),
        (30, 5, 1.25, 1, (30,)),
    ],
)
def test_the_population_shrinks_to_twice_the_elites(
    population_size, num_elites, population_decay, num_iterations, expected
):
    settings = {
        "population_size": population_size,
        "num_elites": num_elites,
        "num_iterations": num_iterations,
    }
    assert planner(**settings, population_decay=population_decay).schedule().num_plans == expected


@pytest.mark.parametrize(
    ("elite_reuse_fraction", "expected"), [(0.0, 0), (0.3, 2), (0.5, 4), (1.0, 8)]
)
def test_a_fraction_of_the_elites_is_reused(elite_reuse_fraction, expected):
    icem = planner(population_size=48, num_elites=8, elite_reuse_fraction=elite_reuse_fraction)
    assert icem.schedule().num_reused_elites == expected
    assert icem.init(KEY).elites.shape == (expected, 3, 1)


TOP = np.float32(0.75)
# No sample of it is near the top.
FAR_BELOW = GaussianPlan(jnp.full((3, 1), -0.9), jnp.full((3, 1), 0.01), 0.5)


def test_reused_elites_are_candidates_again_and_shifted_for_the_next_decision():
    """One elite is the best plan, the other the worst."""
    warm_start = WarmStart(FAR_BELOW, jnp.array([[[TOP]] * 3, [[-1.0]] * 3]))
    _, state, info = plan(planner(num_iterations=3), hill([TOP]), warm_start)
    assert info["score_best"] == 0
    np.testing.assert_array_equal(state.elites[0, :2], [[TOP]] * 2)
    assert state.elites[0, 2] != TOP
    # The second best is a new sample or the refitted mode, which the best plan has pulled up.
    assert np.all(state.elites[1, :2] > -1.0)


def test_the_mode_is_a_candidate_of_the_last_iteration():
    """Samples do not hit the top exactly; the mode does, if the only iteration is the last."""
    warm_start = WarmStart(
        GaussianPlan(jnp.full((3, 1), TOP), jnp.full((3, 1), 0.2), 0.5), jnp.full((2, 3, 1), -1.0)
    )
    _, _, info = plan(planner(num_iterations=1), hill([TOP]), warm_start)
    assert info["score_best"] == 0
    _, _, info = plan(planner(num_iterations=2), hill([TOP]), warm_start)
    assert info["score_best"] < 0  # by then the mode has moved


def test_its_noise_is_red_with_the_initial_std():
    icem = planner(initial_std=0.1, horizon=20)
    red = np.asarray(icem.sample(KEY, icem.initial_distribution(), 4000))[:, :, 0]
    # Standard error of the std: 1.1 %. Tolerance: five of them.
    np.testing.assert_allclose(red.std(0), 0.1, rtol=0.056)
    # Neighbouring steps of 20 are strongly correlated in red noise, uncorrelated in white noise.
    assert np.corrcoef(red.T)[0, 1] > 0.8
    icem = planner(noise_exponent=0.0, horizon=20)
    white = np.asarray(icem.sample(KEY, icem.initial_distribution(), 4000))[:, :, 0]
    assert abs(np.corrcoef(white.T)[0, 1]) < 0.08


def test_the_best_sample_is_the_best_over_all_iterations():
    icem = planner(horizon=1, elite_reuse_fraction=0.0, num_iterations=4, return_mode="best_sample")
    for key in jax.random.split(KEY, 10):
        action, _, info = plan(icem, hill([0.3]), icem.init(KEY), key)
        np.testing.assert_allclose(
            info["score_best"], -((action[0] - 0.3) ** 2), rtol=1e-3, atol=1e-9
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, r"planner.horizon=0: must be at least 1"),
        ({"noise_exponent": -1.0}, r"planner.noise_exponent=-1.0: must be in \[0, 10\]"),
        ({"population_decay": 0.9}, r"planner.population_decay=0.9: must be at least 1"),
        ({"elite_reuse_fraction": 1.1}, r"planner.elite_reuse_fraction=1.1: must be in \[0, 1\]"),
        ({"elite_reuse_fraction": -0.1}, r"planner.elite_reuse_fraction=-0.1: must be in \[0, 1\]"),
        ({"discount": 0.0}, r"discount=0.0: must be in \(0, 1\]"),
    ],
)
def test_invalid_settings_are_rejected(changes, message):
    """Settings of elites are tested in test_elites.py."""
    with pytest.raises(ValueError, match=message):
        planner(Discrete(3), **changes)
