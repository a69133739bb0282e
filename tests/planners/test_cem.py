"""CEM: elites by hand, and optima that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.cem import CEM
from mbrl.planners.plans import widest_plan
from mbrl.types import Box, Discrete
from tests.planners.worlds import bandit, best_path, hill, optimal_plan, point_mass, riccati, tree
from tests.quick import quick_jit

KEY = jax.random.key(0)
START = jnp.zeros(1)
THREE_ACTIONS = Discrete(3)


def planner(action_space=THREE_ACTIONS, **changes) -> CEM:
    settings = {"discount": 1.0, "horizon": 3, "population_size": 300, "num_elites": 10, "num_iterations": 4, "momentum": 0.1}
    return CEM(action_space, **(settings | {"act_on": "distribution"} | changes))


@quick_jit
def plan(planner, world, observation, state, key):
    return planner.plan(key, world, observation, state)


def first_plan(planner, world, observation=START):
    return plan(planner, world, observation, planner.init(KEY), KEY)


NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.0, 3.0, 1.0, 2.0, -1.0], [0, 1 / 3, 1 / 3, 1 / 3, 0]),
        ([-7.0, -9.0, -6.0, -8.0, -5.0], [1 / 3, 0, 1 / 3, 0, 1 / 3]),
        ([-INF, 3.0, -INF, 2.0, -INF], [0, 1 / 2, 0, 1 / 2, 0]),
        ([-INF, -INF, -INF, -INF, -4.0], [0, 0, 0, 0, 1]),
    ],
    ids=["best three", "negative", "two finite ones", "one finite one"],
)
def test_elites_share_the_weight_equally(scores, expected):
    weights = planner(population_size=5, num_elites=3).weights(jnp.array(scores))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_the_first_iterations_refit_is_by_hand():
    """The elites' frequencies, mixed with the uniform distribution by the momentum, one step on and half forgotten."""
    world, path_return = tree(seed=1)
    cem = planner(population_size=24, num_elites=5, num_iterations=1, momentum=0.25)
    _, state, info = first_plan(cem, world)
    _, iteration_key = jax.random.split(KEY)
    plans = np.asarray(cem.init(KEY).sample(jax.random.split(iteration_key)[0], 24))
    returns = np.array([path_return(path) for path in plans])
    elites = plans[np.argsort(-returns, kind="stable")[:5]]
    frequencies = 0.25 / 3 + 0.75 * np.stack([np.bincount(step, minlength=3) / 5 for step in elites.T])
    np.testing.assert_allclose(state.probabilities, (np.stack([*frequencies[1:], np.full(3, 1 / 3)]) + 1 / 3) / 2, rtol=1e-5)
    np.testing.assert_allclose(info["score_best"], returns.max(), rtol=1e-5)
    np.testing.assert_allclose(info["score_mean"], returns.mean(), rtol=1e-4)
    np.testing.assert_allclose(info["score_std"], returns.std(), rtol=1e-4)
    assert info["invalid_fraction"] == 0


def climber() -> CEM:
    return planner(Box(2), horizon=2, population_size=400, num_elites=40, num_iterations=15)


def test_it_finds_the_top_of_a_hill():
    action, state, info = first_plan(climber(), hill([0.3, -0.65]))
    np.testing.assert_allclose(action, [0.3, -0.65], atol=0.01)
    np.testing.assert_allclose(state.mean[0], [0.3, -0.65], atol=0.01)
    assert info["score_best"] > -1e-3


def test_the_best_sample_is_the_best_of_all_iterations():
    cem = planner(Box(1), horizon=1, population_size=10, num_elites=5, num_iterations=4, act_on="best_sample")
    for key in jax.random.split(KEY, 10):
        action, _, info = plan(cem, hill([0.3]), START, cem.init(KEY), key)
        np.testing.assert_allclose(info["score_best"], -((action[0] - 0.3) ** 2), rtol=1e-3, atol=1e-9)


def test_it_finds_the_optimal_control_of_a_point_mass():
    """The finite-horizon linear-quadratic regulator, whose actions stay within the bounds."""
    start, discount = np.array([0.8, -0.3]), 0.9
    best = optimal_plan(start, 8, discount)
    assert np.abs(best).max() < 0.9
    cem = planner(Box(1), discount=discount, horizon=8, population_size=400, num_elites=40, num_iterations=20)
    action, state, info = first_plan(cem, point_mass(), jnp.asarray(start, jnp.float32))
    np.testing.assert_allclose(action, best[0], atol=0.02)
    np.testing.assert_allclose(state.mean[:-1], best[1:], atol=0.03)
    cost, _ = riccati(8, discount)
    np.testing.assert_allclose(info["score_best"], -start @ cost @ start, atol=1e-3)


@pytest.mark.parametrize("act_on", ["distribution", "best_sample"])
def test_it_finds_the_best_path_of_a_small_tree(act_on):
    """27 paths, which a population of 300 sees many times over."""
    for seed in range(10):
        world, path_return = tree(seed, ending=0.2)
        action, _, info = first_plan(planner(act_on=act_on), world)
        best = best_path(path_return)
        assert action == best[0]
        np.testing.assert_allclose(info["score_best"], path_return(best), rtol=1e-5)
        assert info["invalid_fraction"] == 0


@pytest.mark.parametrize(
    ("cem", "world"), [(planner(), bandit([NAN, NAN, NAN])), (climber(), hill([0.3, -0.65], cliff=-INF))], ids=["discrete", "box"]
)
def test_nothing_is_learned_from_predictions_that_all_diverge(cem, world):
    start = widest_plan(cem.action_space, cem.horizon)
    start = start.refit(start.sample(KEY, 4), jnp.eye(4)[0], 0.5)
    action, state, info = plan(cem, world, START, start, KEY)
    np.testing.assert_array_equal(action, start.best()[0])
    for left, expected in zip(jax.tree.leaves(state), jax.tree.leaves(start.shifted()), strict=True):
        np.testing.assert_array_equal(left, expected)
    assert info["invalid_fraction"] == 1
    assert info["score_best"] == -INF


@pytest.mark.parametrize("offset", [-1000.0, 0.0, 1000.0])
@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("act_on", ["distribution", "best_sample"])
def test_it_keeps_away_from_predictions_that_diverge(offset, bad, act_on):
    """Action 1 diverges; of the others, 2 is better."""
    action, _, info = first_plan(planner(act_on=act_on), bandit([offset, bad, offset + 1], pulls=3))
    assert action == 2
    assert 0 < info["invalid_fraction"] < 1


def test_it_keeps_away_from_a_cliff():
    """The top lies beyond it."""
    action, _, info = first_plan(climber(), hill([0.3, -0.65], cliff=0.1))
    np.testing.assert_allclose(action, [0.1, -0.65], atol=0.02)
    assert action[0] <= 0.1
    assert 0 < info["invalid_fraction"] < 1


def test_the_next_decision_starts_from_the_last_plan():
    """With one iteration, what a decision leaves unsettled the next one settles."""
    world, cem = hill([0.55]), planner(Box(1), population_size=64, num_elites=8, num_iterations=1, momentum=0.0)
    errors = {"third decision": [], "first decision": []}
    for seed in range(20):
        state = cem.init(KEY)
        for name, key in zip(["first decision", "second", "third decision"], jax.random.split(jax.random.key(seed), 3), strict=True):
            action, state, _ = plan(cem, world, START, state, key)
            errors.setdefault(name, []).append(abs(float(action[0]) - 0.55))
    # Means of 20 whose standard errors are about a tenth of them; the third is near a half of the first.
    assert np.mean(errors["third decision"]) < 0.8 * np.mean(errors["first decision"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, r"planner.horizon=0 must be at least 1"),
        ({"num_elites": 0}, r"planner.num_elites=0 must be at least 1"),
        ({"num_elites": 301}, r"planner.num_elites=301 exceeds planner.population_size=300: .* lower the one or raise the other"),
        ({"momentum": 1.0}, r"planner.momentum=1.0 must be in \[0, 1\)"),
        ({"act_on": "luck"}, r"planner.act_on=luck must be 'distribution' or 'best_sample'"),
        ({"discount": 1.5}, r"discount=1.5 must be in \(0, 1\]"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        planner(**changes)
