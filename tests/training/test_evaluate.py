"""Evaluation does not depend on the number of episodes, and its returns are real."""

import jax
import numpy as np
import pytest

from mbrl.assemble import assemble
from mbrl.randomness import EVALUATE
from mbrl.training.evaluate import evaluate
from tests.configs import resolved

SMALL = {
    "cem": ["planner.population_size=8", "planner.num_elites=2", "planner.horizon=3"],
    "mcts": ["planner.num_simulations=6", "planner.max_depth=3"],
    "random": [],
}


@pytest.fixture(scope="module", params=SMALL)
def assembled(request):
    """An environment, a planner, a model and a key."""
    parts = assemble(
        resolved(f"planner={request.param}", "training=smoke", "seed=1", *SMALL[request.param])
    )
    model = parts.learner.model(parts.state.learner)
    return parts.environment, parts.planner, model, parts.state.key


def test_an_episodes_return_does_not_depend_on_the_number_of_episodes(assembled):
    few = evaluate(*assembled, num_episodes=2, first_seed=10_000)
    more = evaluate(*assembled, num_episodes=5, first_seed=10_000)
    np.testing.assert_array_equal(few.returns, more.returns[:2])
    np.testing.assert_array_equal(few.lengths, more.lengths[:2])


def test_evaluation_is_repeatable(assembled):
    first, second = (evaluate(*assembled, 3, 10_000) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_returns_match_an_episode_stepped_by_hand(assembled):
    environment, planner, model, key = assembled
    evaluation = evaluate(*assembled, num_episodes=1, first_seed=10_003)
    env = environment.make()
    observation, _ = env.reset(seed=10_003)
    key = jax.random.fold_in(jax.random.fold_in(key, EVALUATE), 0)
    planner_state, total, step, done = planner.init(key), 0.0, 0, False
    plan = jax.jit(
        lambda key, observation, planner_state: planner.plan(
            key, model, model.encode(observation), planner_state
        )
    )
    while not done:
        action, planner_state, _ = plan(jax.random.fold_in(key, step), observation, planner_state)
        observation, reward, terminated, truncated, _ = env.step(np.asarray(action))
        total, step, done = total + float(reward), step + 1, terminated or truncated
    assert (evaluation.returns[0], evaluation.lengths[0]) == (total, step)
