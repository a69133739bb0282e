"""Imagined returns, computed by hand and by the Riccati equation."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models import rollout
from mbrl.models.base import AbstractWorldModel, Prediction
from mbrl.models.value import AbstractValue, ZeroValue
from mbrl.types import Discrete
from tests.models.small import NORMALISER, OBSERVATION_SIZE, small_model
from tests.planners.worlds import bandit, optimal_plan, point_mass, riccati

KEY = jax.random.key(0)
DISCOUNT = 0.5


class Counter(AbstractWorldModel):
    """Two particles count up from the observation, by 1 and by 10 a step; a step earns its count, and a state is worth 100 of it.

    Beyond `limit` counts are no number.
    """

    chances: jax.Array  # of going on after a step, for each particle
    combination: Callable[[jax.Array], jax.Array] = eqx.field(static=True)
    limit: float = np.inf
    components: tuple = ()
    value_function: AbstractValue = ZeroValue()
    action_space: Discrete = Discrete(2)
    normaliser: object = eqx.tree_at(
        lambda normaliser: normaliser.reward_max, NORMALISER, jnp.float32(1e6)
    )
    num_members: int = eqx.field(static=True, default=2)
    bonus: jax.Array = eqx.field(default_factory=lambda: jnp.zeros(()))
    use_pessimism: jax.Array = eqx.field(default_factory=lambda: jnp.array(True))

    def encode(self, key, observation):
        return jnp.stack([observation, observation])

    def step(self, key, state, action):
        state = state + jnp.array([[1.0], [10.0]])
        state = jnp.where(state > self.limit, jnp.nan, state)
        return Prediction(state, state[:, 0] + action.astype(float), self.chances, jnp.zeros(()))

    def collapse_particles(self, key, state):
        return jnp.stack([state[0], state[0]])

    def value(self, state):
        return 100 * state[:, 0]

    def aggregate(self, estimates):
        return self.combination(estimates)

    def with_normaliser(self, normaliser):
        return self

    def losses(self, key, transitions):
        return {}


def first(estimates):
    return estimates[0]


def second(estimates):
    return estimates[1]


@eqx.filter_jit
def score(model, observation, actions, discount=DISCOUNT):
    return rollout.plan_return(
        KEY, model, rollout.start(KEY, model, observation), actions, discount
    )


@pytest.mark.parametrize(
    ("most", "worth"), [(1000.0, 300.0), (150.0, 300.0), (149.0, 298.0), (-4.0, 0.0)]
)
def test_no_value_is_counted_on_that_is_more_than_rewards_can_sum_to(most, worth):
    """Two steps of 1 and 2, and 300 behind them, where the rewards seen make 2 `most`, or nothing."""
    model = Counter(jnp.ones(2), first)
    model = eqx.tree_at(
        lambda model: (model.normaliser.reward_max, model.normaliser.terminal_reward_max),
        model,
        (most, most),
    )
    arrived = rollout.plan_return(
        KEY, model, rollout.start(KEY, model, jnp.ones(1)), jnp.zeros(2, int), DISCOUNT
    )
    np.testing.assert_allclose(arrived, 2 + 3 / 2 + worth / 4)


@pytest.mark.parametrize(
    ("chances", "particle", "expected"),
    [
        ([1.0, 1.0], first, 1 + 2 / 2 + 3 / 4 + 300 / 8),
        ([1.0, 1.0], second, 10 + 20 / 2 + 30 / 4 + 3000 / 8),
        # Survival 1, 1/2, 1/4, and 1/8 for what is left.
        ([0.5, 1.0], first, 1 + 2 / 2 / 2 + 3 / 4 / 4 + 300 / 8 / 8),
        ([0.5, 0.1], second, 10 + 20 / 2 / 10 + 30 / 4 / 100 + 3000 / 8 / 1000),
        # The step that ends the episode is the last one that earns.
        ([0.0, 1.0], first, 1.0),
    ],
)
def test_a_return_is_discounted_and_weighed_by_survival_and_ends_in_the_value(
    chances, particle, expected
):
    model = Counter(jnp.array(chances), particle)
    np.testing.assert_allclose(score(model, jnp.zeros(1), jnp.zeros(3, int)), expected, rtol=1e-6)


def test_particles_are_combined_by_their_whole_returns():
    """Returns of 39.25 and 392.5; the least of all rewards would be another number, as would the product of means."""
    model = Counter(jnp.ones(2), lambda estimates: estimates[0] * estimates[1])
    np.testing.assert_allclose(
        score(model, jnp.zeros(1), jnp.zeros(3, int)), 40.25 * 402.5, rtol=1e-6
    )


def test_an_action_counts_at_its_own_step():
    model = Counter(jnp.array([0.5, 1.0]), first)
    idle, early, late = (
        score(model, jnp.zeros(1), jnp.array(plan)) for plan in ([0, 0, 0], [1, 0, 0], [0, 0, 1])
    )
    np.testing.assert_allclose(early - idle, 1.0, rtol=1e-5)
    np.testing.assert_allclose(late - idle, DISCOUNT**2 * 0.5**2, rtol=1e-5)


def test_an_undiscounted_return_is_a_sum():
    model = Counter(jnp.ones(2), first)
    np.testing.assert_allclose(
        score(model, jnp.zeros(1), jnp.zeros(3, int), discount=1), 1 + 2 + 3 + 300, rtol=1e-6
    )


@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_the_best_plan_of_a_point_mass_costs_what_the_riccati_equation_says(discount):
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
    """Whatever the sign of the rewards; and whether it diverges upwards or downwards."""
    world = bandit([offset, bad], pulls=3)
    assert score(world, jnp.zeros(1), jnp.array([0, 1, 0])) == -jnp.inf
    assert np.isfinite(score(world, jnp.zeros(1), jnp.array([0, 0, 0])))


@pytest.mark.parametrize(("limit", "expected"), [(0.5, -np.inf), (1.5, 1.0), (2.5, 1.0)])
def test_what_diverges_after_certain_death_is_ignored_and_before_it_is_not(limit, expected):
    """Death comes with the first step, whose reward still counts; the steps after it, and the value, are never reached."""
    model = Counter(jnp.array([0.0, 1.0]), first, limit)
    assert score(model, jnp.zeros(1), jnp.zeros(3, int)) == expected


def test_what_diverges_after_a_death_that_is_almost_certain_is_not_ignored():
    model = Counter(jnp.array([1e-6, 1.0]), first, 1.5)
    assert score(model, jnp.zeros(1), jnp.zeros(3, int)) == -np.inf


def test_one_particles_death_does_not_excuse_the_others():
    """The sum of a dead particle's return and that of one that lives on to diverge, in its second step."""
    model = Counter(jnp.array([0.0, 1.0]), jnp.sum, 15.0)
    assert score(model, jnp.zeros(1), jnp.zeros(3, int)) == -np.inf
    assert score(model, jnp.zeros(1), jnp.zeros(1, int)) == 1 + 10 + DISCOUNT * 1000


def test_a_chance_of_going_on_that_is_no_number_is_no_certain_death():
    """Where each step costs something, it would otherwise be the best that can happen."""
    model = Counter(jnp.array([jnp.nan, 1.0]), first)
    assert score(model, jnp.zeros(1), jnp.zeros(3, int)) == -np.inf


def test_a_particle_that_diverged_spoils_the_plan():
    model = small_model(num_members=3)
    spoilt = eqx.tree_at(
        lambda m: m.components.reward.network.layers[-1].bias,
        model,
        jnp.array([[0.0], [jnp.nan], [0.0]]),
    )
    plan = jnp.zeros(4, int)
    assert np.isfinite(score(model, jnp.zeros(OBSERVATION_SIZE), plan))
    assert score(spoilt, jnp.zeros(OBSERVATION_SIZE), plan) == -jnp.inf


def test_step_by_step_it_is_the_same_return():
    """`begin`, `advance` and `future` in a Python loop, for the model that runs use."""
    model, discount = small_model(pessimism=0.7), 0.9
    plan, observation = jnp.array([0, 2, 1, 1, 0]), jnp.array([0.3, -0.2, 0.5, 1.0])
    imagined, returns = rollout.start(KEY, model, observation), np.zeros(3)
    for number, action in enumerate(plan):
        imagined, rewards = advance(KEY, model, imagined, action)
        returns += discount**number * np.asarray(rewards)
    returns += discount**5 * np.asarray(rollout.bootstrap_value(model, imagined, discount))
    np.testing.assert_allclose(
        score(model, observation, plan, discount), returns.mean() - 0.7 * returns.std(), rtol=1e-4
    )


def test_survival_is_the_product_of_continuations():
    model = small_model()
    imagined, product = rollout.start(KEY, model, jnp.zeros(OBSERVATION_SIZE)), np.ones(3)
    for action in jnp.array([0, 1, 2]):
        product = product * np.asarray(step(model, imagined.state, action).continuation)
        imagined, _ = advance(KEY, model, imagined, action)
        np.testing.assert_allclose(imagined.survival, product, rtol=1e-5)
    np.testing.assert_allclose(
        rollout.bootstrap_value(model, imagined, 0.99),
        product * np.asarray(model.value(imagined.state)),
        rtol=1e-5,
    )


@eqx.filter_jit
def step(model, state, action):
    return model.step(KEY, state, action)


advance = eqx.filter_jit(rollout.step)


def test_a_walk_goes_through_all_its_states():
    """In steps of 1, the first particle's, from where it starts: from there on it is at one place."""
    seen = []

    def policy(key, state):
        seen.append(state.shape)
        return jnp.array(0)

    states = rollout.rollout(KEY, Counter(jnp.ones(2), first), jnp.array([[5.0], [7.0]]), policy, 3)
    np.testing.assert_array_equal(states[:, :, 0], [[5, 7], [6, 6], [7, 7], [8, 8]])
    assert seen[0] == (2, 1)


def test_a_walk_follows_its_policy():
    """Through a board on which action k leads to place k + 1, from any place."""
    world = bandit([0.0, 0.0, 0.0]).knowing(moves=np.tile([1, 2, 3], (40, 1)))
    states = rollout.rollout(
        KEY, world, jnp.zeros((1, 1)), lambda key, state: jnp.minimum(state[0, 0].astype(int), 2), 4
    )
    np.testing.assert_array_equal(states[:, 0, 0], [0, 1, 2, 3, 3])
