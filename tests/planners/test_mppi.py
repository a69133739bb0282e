"""MPPI: its weights by hand, and noise of constant width. Optima are tested in test_sampling.py."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.mppi import MPPI
from mbrl.types import Box, Discrete

INF = np.inf
SCORES = [2.0, -1.0, 0.5, 3.0]


def planner(action_space=None, **changes) -> MPPI:
    settings = {
        "discount": 1.0,
        "horizon": 2,
        "num_policy_plans": 0,
        "population_size": 4,
        "num_iterations": 2,
        "temperature": 0.5,
    }
    settings |= {"noise_correlation": 0.5, "initial_std": 0.4}
    return MPPI(Box(1) if action_space is None else action_space, **(settings | changes))


@eqx.filter_jit
def refit(mppi, plans, scores):
    return mppi.refit(mppi.initial_distribution(), plans, scores)


def expected_weights(scores, temperature=0.5) -> np.ndarray:
    """Softmax of the finite scores, in units of the temperature times their standard deviation."""
    scores = np.array(scores)
    finite = np.isfinite(scores)
    unnormalised = np.zeros(len(scores))
    unnormalised[finite] = np.exp(scores[finite] / (temperature * scores[finite].std()))
    return unnormalised / unnormalised.sum()


def weights(scores, temperature=0.5) -> np.ndarray:
    """The weights of a refit, as the probabilities of four actions that one plan each takes."""
    mppi = planner(Discrete(4), temperature=temperature)
    plans = jnp.tile(jnp.arange(4)[:, None], (1, 2))
    probabilities = refit(mppi, plans, jnp.array(scores)).probabilities
    np.testing.assert_array_equal(probabilities[0], probabilities[1])
    return np.asarray(probabilities[0])


@pytest.mark.parametrize("temperature", [0.2, 0.5, 5.0])
@pytest.mark.parametrize(
    "scores",
    [SCORES, [-200.0, -100.0, -500.0, -300.0], [2.0, -INF, 0.5, 3.0], [-INF, 1.0, 2.0, -INF]],
    ids=["all", "negative", "three finite ones", "two finite ones"],
)
def test_weights_are_the_softmax_of_the_scores(scores, temperature):
    expected = expected_weights(scores, temperature)
    np.testing.assert_allclose(weights(scores, temperature), expected, rtol=1e-5, atol=1e-7)


def test_weights_do_not_depend_on_the_scale_and_offset_of_rewards():
    for scale, offset in ((1e4, 0.0), (1e-3, 0.0), (1.0, 1000.0)):
        np.testing.assert_allclose(
            weights(scale * np.array(SCORES) + offset), expected_weights(SCORES), rtol=1e-3
        )


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([7.0, 7.0, 7.0, 7.0], [0.25] * 4),
        ([-INF, 7.0, 7.0, -INF], [0, 0.5, 0.5, 0]),
        ([-INF, -INF, -7.0, -INF], [0, 0, 1, 0]),
    ],
    ids=["all", "two finite ones", "one finite one"],
)
def test_equal_candidates_have_equal_weights(scores, expected):
    np.testing.assert_allclose(weights(scores), expected, atol=1e-7)


def test_extreme_temperatures_give_the_best_plan_and_the_mean_of_all():
    np.testing.assert_allclose(weights(SCORES, 1e-3), [0, 0, 0, 1], atol=1e-7)
    np.testing.assert_allclose(weights(SCORES, 1e4), [0.25] * 4, atol=1e-3)


def test_a_refit_moves_the_mean_and_keeps_the_std():
    plans = np.random.default_rng(0).uniform(-1, 1, (4, 2, 1))
    refitted = refit(planner(), jnp.asarray(plans, jnp.float32), jnp.array(SCORES))
    np.testing.assert_allclose(
        refitted.mean, np.average(plans, axis=0, weights=expected_weights(SCORES)), rtol=1e-5
    )
    np.testing.assert_array_equal(refitted.std, np.full((2, 1), 0.4, np.float32))


def test_its_noise_is_smoothed_with_the_initial_std():
    mppi = planner(initial_std=0.1, noise_correlation=0.8, horizon=20)
    samples = np.asarray(mppi.sample(jax.random.key(0), mppi.initial_distribution(), 4000))[:, :, 0]
    # Standard errors: 1.1 % of the std, 0.016 of a correlation. Tolerance: five of them.
    np.testing.assert_allclose(samples.std(0), 0.1, rtol=0.056)
    assert np.corrcoef(samples.T)[-2, -1] == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, r"planner.horizon=0: must be at least 1"),
        ({"population_size": 0}, r"planner.population_size=0: must be at least 1"),
        ({"num_iterations": 0}, r"planner.num_iterations=0: must be at least 1"),
        ({"temperature": 0.0}, r"planner.temperature=0.0: must be positive"),
        ({"noise_correlation": 1.0}, r"planner.noise_correlation=1.0: must be in \[0, 1\)"),
        ({"noise_correlation": -0.1}, r"planner.noise_correlation=-0.1: must be in \[0, 1\)"),
        (
            {"temperature": 1e30},
            r"planner.temperature=1e\+30: must be positive and at most 16777216",
        ),
        ({"initial_std": -1.0}, r"planner.initial_std=-1.0: must be positive"),
        (
            {"initial_std": 1e30},
            r"planner.initial_std=1e\+30: must be positive and at most 16777216",
        ),
        ({"discount": 1.5}, r"discount=1.5: must be in \(0, 1\]"),
    ],
)
def test_invalid_settings_are_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        planner(**changes)
