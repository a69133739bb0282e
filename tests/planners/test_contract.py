"""What is asked of every planner: each conf/planner/*.yaml, with each kind of action, in each kind of model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.config import build
from mbrl.planners.random import RandomPlanner
from tests.configs import ENVIRONMENT_OF, options, small_config
from tests.models.small import poisoned, some_normaliser, weighted
from tests.planners.worlds import bandit, hill
from tests.quick import quick_jit

KEY = jax.random.key(0)
NUM_EPISODES = 2  # planned in one batch


class Case:
    """A planner and a model of one environment, compiled once for all tests of the two."""

    def __init__(self, planner: str, actions: str, model: str):
        config = small_config(f"planner={planner}", f"env={ENVIRONMENT_OF[actions]}", f"model={model}")
        environment = build(config.env)
        self.action_space, self.observation_size = environment.action_space, environment.observation_size
        sizes = {"action_space": self.action_space, "observation_size": self.observation_size}
        self.planner = build(config.planner, action_space=self.action_space)
        model = weighted(lambda: build(config.model, key=KEY, **sizes))
        self.model = model.normalised(some_normaliser(self.observation_size))
        self.num_compiled = 0

        @quick_jit
        def act(planner, model, keys, observations, states):
            self.num_compiled += 1
            plan = jax.vmap(planner.plan, in_axes=(0, None, 0, 0))
            return plan(keys, model, observations, states)

        self._act = act

    def states(self):
        return jax.vmap(self.planner.init)(jax.random.split(KEY, NUM_EPISODES))

    def act(self, number: int, states, model=None):
        """Decision `number` of two episodes side by side."""
        keys = jax.random.split(jax.random.fold_in(KEY, number), NUM_EPISODES)
        observations = jnp.asarray(np.random.default_rng(number).normal(size=(NUM_EPISODES, self.observation_size)), jnp.float32)
        return self._act(self.planner, self.model if model is None else model, keys, observations, states)


@pytest.fixture(scope="module", params=options("model"))
def model(request):
    return request.param


@pytest.fixture(scope="module", params=list(ENVIRONMENT_OF))
def actions(request):
    return request.param


@pytest.fixture(scope="module", params=options("planner"))
def planner(request):
    return request.param


@pytest.fixture(scope="module")
def case(planner, actions, model):
    return Case(planner, actions, model)


def assert_in_space(actions, action_space):
    sample = action_space.sample(KEY)
    assert actions.dtype == sample.dtype
    assert actions.shape[1:] == sample.shape
    if jnp.issubdtype(sample.dtype, jnp.integer):
        assert np.all((actions >= 0) & (actions < action_space.num_features))
    else:
        assert np.all(np.abs(actions) <= 1)


def assert_usable(states):
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(states))


def test_actions_lie_in_the_space_and_metrics_are_numbers_with_a_glossary(case):
    actions, states, info = case.act(0, case.states())
    assert_in_space(actions, case.action_space)
    assert_usable(states)
    assert info.keys() == case.planner.METRICS.keys()
    for name, values in info.items():
        assert values.shape == (NUM_EPISODES,), name
        assert values.dtype == jnp.float32, name
        assert np.all(np.isfinite(values)), name


def test_it_compiles_once_for_all_decisions_while_the_model_learns(case):
    states, model = case.states(), case.model
    for number in range(3):
        _, states, _ = case.act(number, states, model)
        model = jax.tree.map(lambda leaf: 1.1 * leaf if eqx.is_inexact_array(leaf) else leaf, model)
    assert case.num_compiled == 1


def test_the_same_key_gives_the_same_decision_and_another_may_not(case):
    (first, _, _), (again, _, _) = case.act(0, case.states()), case.act(0, case.states())
    np.testing.assert_array_equal(first, again)


def test_nothing_leaks_from_an_episode_into_the_next(case):
    before, _, _ = case.act(0, case.states())
    states = case.states()
    for number in range(1, 4):
        _, states, _ = case.act(number, states)
    after, _, _ = case.act(0, case.states())
    np.testing.assert_array_equal(before, after)


def test_its_state_can_be_carried_through_a_scan(case):
    """Structure, shapes and dtypes stay: else `scan` refuses, and a loop compiles twice."""

    def decide(state, key):
        action, state, info = case.planner.plan(key, case.model, jnp.zeros(case.observation_size), state)
        return state, (action, info)

    start = jax.eval_shape(case.planner.init, KEY)
    end, (actions, info) = jax.eval_shape(lambda: jax.lax.scan(decide, case.planner.init(KEY), jax.random.split(KEY, 3)))
    assert jax.tree.structure(start) == jax.tree.structure(end)
    for before, after in zip(jax.tree.leaves(start), jax.tree.leaves(end), strict=True):
        assert (before.shape, before.dtype, before.weak_type) == (after.shape, after.dtype, after.weak_type)
    assert actions.shape[0] == 3
    assert all(values.shape == (3,) for values in info.values())


def test_it_survives_a_model_that_diverges_everywhere(case):
    actions, states, _ = case.act(0, case.states(), poisoned(case.model))
    assert_in_space(actions, case.action_space)
    assert_usable(states)
    actions, states, info = case.act(1, states)
    assert_in_space(actions, case.action_space)
    assert all(np.all(np.isfinite(values)) for values in info.values())


@pytest.mark.parametrize(
    ("world", "sane"),
    [(bandit([0.0, np.nan, 1.0], pulls=3), lambda action: action != 1), (hill([0.4], cliff=0.0), lambda action: action[0] <= 0)],
    ids=["discrete", "box"],
)
def test_it_keeps_away_from_candidates_that_diverge(planner, world, sane):
    part = build(small_config(f"planner={planner}").planner, action_space=world.action_space)
    action, state, _ = quick_jit(part.plan)(KEY, world, jnp.zeros(1), part.init(KEY))
    assert_in_space(action[None], world.action_space)
    assert_usable(state)
    assert sane(action) or isinstance(part, RandomPlanner)  # which looks at nothing
