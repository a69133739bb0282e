"""CEM: its refit by hand, and its use of elites. Optima are tested in test_sampling.py."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.config.build import build
from mbrl.planners.cem import CEM
from mbrl.types import Box, Discrete
from tests.configs import resolved
from tests.planners.worlds import hill, tree

KEY = jax.random.key(0)
START = jnp.zeros(1)
THREE_ACTIONS = Discrete(3)


def planner(action_space=THREE_ACTIONS, **changes) -> CEM:
    settings = {
        "discount": 1.0,
        "horizon": 3,
        "num_policy_plans": 0,
        "population_size": 300,
        "num_elites": 10,
        "num_iterations": 4,
        "momentum": 0.1,
    }
    return CEM(action_space, **(settings | {"initial_std": 0.5, "return_mode": "mode"} | changes))


@eqx.filter_jit
def plan(planner, world, observation, state, key):
    return planner.plan(key, world, observation, state)


def test_the_refit_of_one_iteration_matches_a_computation_by_hand():
    """Elite frequencies mixed with the old distribution by momentum, then shifted."""
    world, path_return = tree(seed=1)
    cem = planner(population_size=24, num_elites=5, num_iterations=1, momentum=0.25)
    start = cem.init(KEY)
    _, state, info = plan(cem, world, START, start, KEY)
    _, _, iteration_key = jax.random.split(KEY, 3)
    plans = np.asarray(cem.sample(jax.random.split(iteration_key)[0], start.distribution, 24))
    returns = np.array([path_return(path) for path in plans])
    elites = plans[np.argsort(-returns, kind="stable")[:5]]
    frequencies = 0.25 / 3 + 0.75 * np.stack(
        [np.bincount(step, minlength=3) / 5 for step in elites.T]
    )
    expected = (np.stack([*frequencies[1:], np.full(3, 1 / 3)]) + 1 / 3) / 2
    np.testing.assert_allclose(state.distribution.probabilities, expected, rtol=1e-5)
    assert state.elites.shape == (0, 3)
    np.testing.assert_allclose(info["score_best"], returns.max(), rtol=1e-5)
    np.testing.assert_allclose(info["score_mean"], returns.mean(), rtol=1e-4)
    np.testing.assert_allclose(info["score_std"], returns.std(), rtol=1e-4)
    assert info["invalid_fraction"] == 0


def test_its_noise_is_white_with_the_initial_std():
    cem = planner(Box(1), initial_std=0.1)
    samples = np.asarray(cem.sample(KEY, cem.initial_distribution(), 4000))[:, :, 0]
    # Standard errors: 1.1 % of the std, 0.016 of a correlation. Tolerance: five of them.
    np.testing.assert_allclose(samples.std(0), 0.1, rtol=0.056)
    np.testing.assert_allclose(np.corrcoef(samples.T), np.eye(3), atol=0.08)


def test_the_best_sample_is_the_best_over_all_iterations():
    cem = planner(
        Box(1),
        horizon=1,
        population_size=10,
        num_elites=5,
        num_iterations=4,
        return_mode="best_sample",
    )
    for key in jax.random.split(KEY, 10):
        action, _, info = plan(cem, hill([0.3]), START, cem.init(KEY), key)
        np.testing.assert_allclose(
            info["score_best"], -((action[0] - 0.3) ** 2), rtol=1e-3, atol=1e-9
        )


def test_the_next_decision_starts_from_the_last_plan():
    """With one iteration a decision, plans still improve from decision to decision."""
    world, cem = (
        hill([0.55]),
        planner(Box(1), population_size=64, num_elites=8, num_iterations=1, momentum=0.0),
    )
    errors = {"third decision": [], "first decision": []}
    for seed in range(20):
        state = cem.init(KEY)
        for name, key in zip(
            ["first decision", "second", "third decision"],
            jax.random.split(jax.random.key(seed), 3),
            strict=True,
        ):
            action, state, _ = plan(cem, world, START, state, key)
            errors.setdefault(name, []).append(abs(float(action[0]) - 0.55))
    # Means of 20, with standard errors of about a tenth. The third is about half of the first.
    assert np.mean(errors["third decision"]) < 0.8 * np.mean(errors["first decision"])


@pytest.mark.parametrize(
    ("best", "error"), [(1.0, 0.045), (0.85, 0.06)], ids=["at the bound", "near it"]
)
def test_its_defaults_come_close_to_the_best_action(best, error):
    """Errors after four decisions are 0.03 and 0.05.

    Fitted to clipped samples they would be 0.075 and 0.04, to unclipped ones 0.02 and 0.08.
    """
    node = resolved("planner=cem", "discount=1").tree.planner
    world, cem = hill([best]), build(node, action_space=Box(1))
    actions = []
    for seed in range(40):
        state = cem.init(KEY)
        for key in jax.random.split(jax.random.key(seed), 4):
            action, state, _ = plan(cem, world, START, state, key)
        actions.append(float(action[0]))
    # Standard errors are a tenth of the errors.
    assert np.mean(np.abs(np.array(actions) - best)) < error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, r"planner.horizon=0: must be at least 1"),
        ({"population_size": 0, "num_elites": 0}, r"planner.\w+=0: must be at least 1"),
        ({"discount": 1.5}, r"discount=1.5: must be in \(0, 1\]"),
    ],
)
def test_invalid_settings_are_rejected(changes, message):
    """Settings of elites are tested in test_elites.py."""
    with pytest.raises(ValueError, match=message):
        planner(**changes)
