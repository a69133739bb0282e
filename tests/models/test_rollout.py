"""Returns of rollouts against closed forms and the Riccati equation."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models import rollout
from mbrl.models.base import AbstractWorldModel, Prediction
from mbrl.models.policy import Uniform
from mbrl.types import Discrete
from tests.models.small import small_model
from tests.planners.worlds import bandit, board, optimal_plan, point_mass, riccati

KEY = jax.random.key(0)
DISCOUNT = 0.5


class Counter(AbstractWorldModel):
    """Two particles count up, by 1 and by 10 per step.

    A step earns its count, a state's value is 100 times its count, and counts beyond `limit` are
    NaN.
    """

    continuations: jax.Array  # of every step, for each particle
    aggregation: Callable[[jax.Array], jax.Array] = eqx.field(static=True)
    limit: float = np.inf
    reward_max: float = 1e6

    def initial(self):
        return jnp.zeros((2, 1))

    def observe(self, key, belief, action, observation, is_first):
        return jnp.stack([observation, observation])

    def step(self, key, state, action):
        state = state + jnp.array([[1.0], [10.0]])
        state = jnp.where(state > self.limit, jnp.nan, state)
        return Prediction(state, state[:, 0] + action.astype(float), self.continuations)

    def value(self, state):
        return 100 * state[:, 0]

    def policy(self, state):
        return Uniform(Discrete(2))

    def aggregate(self, estimates):
        return self.aggregation(estimates)

    def return_bounds(self, discount):
        high = jnp.float32(self.reward_max / (1 - discount))
        return jnp.zeros(()), jnp.maximum(0.0, high)


ZERO = jnp.zeros((2, 1))  # a state of Counter


def first(estimates):
    return estimates[0]


def second(estimates):
    return estimates[1]


@eqx.filter_jit
def score(model, state, actions, discount=DISCOUNT):
    return rollout.plan_return(KEY, model, rollout.start(model, state), actions, discount)


@pytest.mark.parametrize(
    ("reward_max", "value"), [(1000.0, 300.0), (150.0, 300.0), (149.0, 298.0), (-4.0, 0.0)]
)
def test_the_bootstrap_value_is_capped_at_the_largest_possible_return(reward_max, value):
    """Two steps earn 2 and 3, the value is 300, and the largest return 2 `reward_max` or 0."""
    model = Counter(jnp.ones(2), first, reward_max=reward_max)
    found = score(model, ZERO + 1, jnp.zeros(2, int))
    np.testing.assert_allclose(found, 2 + 3 / 2 + value / 4)


@pytest.mark.parametrize(
    ("continuations", "particle", "expected"),
    [
        ([1.0, 1.0], first, 1 + 2 / 2 + 3 / 4 + 300 / 8),
        ([1.0, 1.0], second, 10 + 20 / 2 + 30 / 4 + 3000 / 8),
        # Survival 1, 1/2, 1/4, and 1/8 for the value.
        ([0.5, 1.0], first, 1 + 2 / 2 / 2 + 3 / 4 / 4 + 300 / 8 / 8),
        ([0.5, 0.1], second, 10 + 20 / 2 / 10 + 30 / 4 / 100 + 3000 / 8 / 1000),
        # The step that terminates the episode is the last one that earns a reward.
        ([0.0, 1.0], first, 1.0),
    ],
)
def test_a_return_is_discounted_weighted_by_survival_and_bootstrapped(
    continuations, particle, expected
):
    model = Counter(jnp.array(continuations), particle)
    np.testing.assert_allclose(score(model, ZERO, jnp.zeros(3, int)), expected, rtol=1e-6)


def test_particles_are_aggregated_by_their_whole_returns():
    """Returns of 40.25 and 402.5, aggregated by their product."""
    model = Counter(jnp.ones(2), lambda estimates: estimates[0] * estimates[1])
    np.testing.assert_allclose(score(model, ZERO, jnp.zeros(3, int)), 40.25 * 402.5, rtol=1e-6)


def test_an_action_affects_its_own_step():
    model = Counter(jnp.array([0.5, 1.0]), first)
    idle, early, late = (
        score(model, ZERO, jnp.array(plan)) for plan in ([0, 0, 0], [1, 0, 0], [0, 0, 1])
    )
    np.testing.assert_allclose(early - idle, 1.0, rtol=1e-5)
    np.testing.assert_allclose(late - idle, DISCOUNT**2 * 0.5**2, rtol=1e-5)


def test_an_undiscounted_return_is_a_sum():
    model = Counter(jnp.ones(2), first)
    np.testing.assert_allclose(
        score(model, ZERO, jnp.zeros(3, int), discount=1), 1 + 2 + 3 + 300, rtol=1e-6
    )


@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_the_optimal_return_of_a_point_mass_solves_the_riccati_equation(discount):
    start = np.array([0.8, -0.3])
    plan = jnp.asarray(optimal_plan(start, 10, discount), jnp.float32)
    cost, _ = riccati(10, discount)
    np.testing.assert_allclose(
        score(point_mass(), jnp.asarray(start, jnp.float32), plan, discount),
        -start @ cost @ start,
        rtol=1e-5,
    )
    assert (
        score(point_mass(), jnp.asarray(start, jnp.float32), plan + 0.01, discount)
        < -start @ cost @ start
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("offset", [-1e6, 1e6])
def test_a_diverged_plan_scores_less_than_any_other(bad, offset):
    """Whatever the sign of the rewards and of the divergence."""
    world = bandit([offset, bad], pulls=3)
    assert score(world, jnp.zeros(1), jnp.array([0, 1, 0])) == -jnp.inf
    assert np.isfinite(score(world, jnp.zeros(1), jnp.array([0, 0, 0])))


@pytest.mark.parametrize(("limit", "expected"), [(0.5, -np.inf), (1.5, 1.0), (2.5, 1.0)])
def test_a_divergence_is_ignored_only_after_certain_termination(limit, expected):
    """The first step terminates and its reward counts; later steps and the value do not."""
    model = Counter(jnp.array([0.0, 1.0]), first, limit)
    assert score(model, ZERO, jnp.zeros(3, int)) == expected


def test_a_divergence_after_almost_certain_termination_is_not_ignored():
    model = Counter(jnp.array([1e-6, 1.0]), first, 1.5)
    assert score(model, ZERO, jnp.zeros(3, int)) == -np.inf


def test_termination_of_one_particle_does_not_hide_the_divergence_of_another():
    """Returns are summed; the second particle diverges in its second step."""
    model = Counter(jnp.array([0.0, 1.0]), jnp.sum, 15.0)
    assert score(model, ZERO, jnp.zeros(3, int)) == -np.inf
    assert score(model, ZERO, jnp.zeros(1, int)) == 1 + 10 + DISCOUNT * 1000


def test_a_nan_continuation_does_not_count_as_termination():
    """With negative rewards it would otherwise be the best plan."""
    model = Counter(jnp.array([jnp.nan, 1.0]), first)
    assert score(model, ZERO, jnp.zeros(3, int)) == -np.inf


def test_a_diverged_member_makes_the_plans_return_minus_infinity():
    model = small_model(num_members=3)
    diverged = eqx.tree_at(
        lambda m: m.components.reward.network.layers[-1].bias,
        model,
        jnp.array([[0.0], [jnp.nan], [0.0]]),
    )
    plan = jnp.zeros(4, int)
    assert np.isfinite(score(model, model.initial(), plan))
    assert score(diverged, model.initial(), plan) == -jnp.inf


def test_a_python_loop_over_steps_gives_the_same_return():
    """`start`, `step` and `bootstrap_value`, for the model that runs use."""
    model, discount = small_model(pessimism=0.7), 0.9
    plan, state = jnp.array([0, 2, 1, 1, 0]), model.encode(jnp.array([0.3, -0.2, 0.5, 1.0]))
    current, returns = rollout.start(model, state), np.zeros(3)
    for number, action in enumerate(plan):
        current, rewards = rollout_step(KEY, model, current, action)
        returns += discount**number * np.asarray(rewards)
    returns += discount**5 * np.asarray(rollout.bootstrap_value(model, current, discount))
    np.testing.assert_allclose(
        score(model, state, plan, discount), returns.mean() - 0.7 * returns.std(), rtol=1e-4
    )


def test_survival_is_the_product_of_continuations():
    model = small_model()
    current, product = rollout.start(model, model.initial()), np.ones(3)
    for action in jnp.array([0, 1, 2]):
        product = product * np.asarray(step(model, current.state, action).continuation)
        current, _ = rollout_step(KEY, model, current, action)
        np.testing.assert_allclose(current.survival, product, rtol=1e-5)
    np.testing.assert_allclose(
        rollout.bootstrap_value(model, current, 0.99),
        product * np.asarray(model.value(current.state)),
        rtol=1e-5,
    )


@eqx.filter_jit
def step(model, state, action):
    return model.step(KEY, state, action)


rollout_step = eqx.filter_jit(rollout.step)


@pytest.mark.parametrize(
    ("after_step", "expected"),
    [
        ((), [[5, 7], [6, 17], [7, 27], [8, 37]]),
        ((lambda key, state: state[:1].repeat(2, 0),), [[5, 7], [6, 6], [7, 7], [8, 8]]),
    ],
    ids=["as predicted", "changed after each step"],
)
def test_a_rollout_returns_all_states(after_step, expected):
    model, start = Counter(jnp.ones(2), first), jnp.array([[5.0], [7.0]])
    states = rollout.rollout(KEY, model, start, lambda key, state: jnp.array(0), 3, *after_step)
    np.testing.assert_array_equal(states[:, :, 0], expected)


def test_a_rollout_follows_its_policy():
    """On a board on which action k leads to place k + 1, from any place."""
    world = board(np.tile([1, 2, 3], (4, 1)), np.zeros((4, 3)))
    states = rollout.rollout(
        KEY, world, jnp.zeros(1), lambda key, state: jnp.minimum(state[0].astype(int), 2), 4
    )
    np.testing.assert_array_equal(states[:, 0], [0, 1, 2, 3, 3])
