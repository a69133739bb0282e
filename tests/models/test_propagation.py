"""Propagation, told by members that write their number down: which network moved which particle, at every step."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.dynamics import AbstractDynamics
from mbrl.models.propagation import TS1, Expectation, TSInfinity
from mbrl.models.reward import AbstractReward
from mbrl.models.risk import LowerConfidenceBound
from mbrl.models.termination import NoTermination
from mbrl.models.value import AbstractValue
from mbrl.models.world_model import WorldModel
from mbrl.types import Discrete
from tests.models.small import some_normaliser

KEY = jax.random.key(0)
MEMBERS, SHARE, STEPS = 3, 4, 5


class Scribe(AbstractDynamics):
    """Writes a digit, its own, behind those that the observation has; a sample has `noise` on top."""

    digit: jax.Array
    noise: float = eqx.field(static=True)

    def __init__(
        self, observation_size: int, num_features: int, key: jax.Array, noise: float = 0.0
    ):
        self.digit, self.noise = jnp.zeros(()), noise

    def mean(self, normaliser, observation, action):
        return 10 * observation + self.digit[None]

    def sample(self, normaliser, key, observation, action):
        return self.mean(normaliser, observation, action) + self.noise * jax.random.normal(
            key, observation.shape
        )

    def loss(self, normaliser, observation, action, next_observation):
        return jnp.zeros(())


class OwnNumber(AbstractReward):
    """Rewards, and values, are the member's number."""

    number: jax.Array

    def __init__(self, observation_size: int, num_features: int, key: jax.Array):
        self.number = jnp.zeros(())

    def __call__(self, normaliser, observation, action, next_observation, continuation):
        return self.number

    def loss(self, normaliser, observation, action, next_observation, reward, terminated):
        return jnp.zeros(())

    def widen_reward_bounds(self, normaliser):
        return normaliser


class OwnValue(AbstractValue):
    number: jax.Array

    def __init__(self, observation_size: int, num_features: int, key: jax.Array):
        self.number = jnp.zeros(())

    def __call__(self, normaliser, observation):
        return self.number


def model_of(
    propagation,
    size: int = 1,
    num_members: int = MEMBERS,
    pessimism: float = 0.0,
    noise: float = 0.0,
) -> WorldModel:
    """Members 1, 2, 3, …"""
    parts = {
        "dynamics": partial(Scribe, noise=noise),
        "reward": OwnNumber,
        "termination": NoTermination,
        "value": OwnValue,
    }
    settings = {
        "num_members": num_members,
        "pessimism": pessimism,
        "observation_size": size,
        "action_space": Discrete(2),
        "risk": LowerConfidenceBound(),
    }
    model = WorldModel(**parts, propagation=propagation, key=KEY, **settings)

    def member_numbers(m):
        return m.components.dynamics.digit, m.components.reward.number, m.value_function.number

    return eqx.tree_at(
        member_numbers, model, (jnp.arange(1.0, num_members + 1),) * 3
    ).with_normaliser(some_normaliser(size))


@eqx.filter_jit
def histories(model, key):
    """The particles' observations after each step: in the first, one digit each, in the next, two."""

    def one_step(state, key):
        prediction = model.step(key, state, jnp.array(0))
        return prediction.state, (
            prediction.state[:, 0],
            prediction.reward,
            model.value(prediction.state),
        )

    return jax.lax.scan(one_step, model.encode(key, jnp.zeros(1)), jax.random.split(key, STEPS))[1]


def actors(model, key=KEY) -> np.ndarray:
    """Which member moved each particle: [steps, particles]."""
    written = np.asarray(histories(model, key)[0]).astype(int)
    np.testing.assert_array_equal(
        written[1:] // 10, written[:-1], err_msg="a particle goes on from where it stood"
    )
    return written % 10


def test_with_bound_1_each_member_moves_its_equal_share_of_particles_at_every_step():
    for acted in actors(model_of(TS1(SHARE))):
        np.testing.assert_array_equal(np.bincount(acted, minlength=4), [0, SHARE, SHARE, SHARE])


def test_with_bound_1_particles_change_members_between_steps_at_random():
    acted = actors(model_of(TS1(SHARE)))
    assert all((now != then).any() for now, then in zip(acted[1:], acted[:-1], strict=True))
    assert (acted != actors(model_of(TS1(SHARE)), jax.random.key(1))).any()
    many = np.concatenate(
        [actors(model_of(TS1(SHARE)), jax.random.key(number)) for number in range(80)]
    )
    # Any particle is with any member a third of the time; binomial over 400 steps, standard deviation 0.0236. Five of them.
    for member in (1, 2, 3):
        np.testing.assert_allclose(np.mean(many == member, axis=0), 1 / 3, atol=0.118)


def test_with_bound_infinity_particles_never_change_members_and_each_has_its_equal_share():
    for key in (KEY, jax.random.key(1)):
        np.testing.assert_array_equal(
            actors(model_of(TSInfinity(SHARE)), key), [np.repeat([1, 2, 3], SHARE)] * STEPS
        )


@pytest.mark.parametrize("propagation", [TS1(SHARE), TSInfinity(SHARE)], ids=["ts1", "ts_infinity"])
def test_reward_and_value_stay_with_the_member_that_a_particle_was_dealt_to_first(propagation):
    _, rewards, values = histories(model_of(propagation), KEY)
    np.testing.assert_array_equal(rewards, [np.repeat([1, 2, 3], SHARE)] * STEPS)
    np.testing.assert_array_equal(values, [np.repeat([1, 2, 3], SHARE)] * STEPS)


def test_in_expectation_all_agree_on_the_mean_over_members_after_each_step():
    """Digits 1, 2 and 3 have a mean of 2: 2, 22, 222, …; each member has one particle."""
    written, rewards, _ = histories(model_of(Expectation()), KEY)
    np.testing.assert_allclose(
        written, np.tile([[2], [22], [222], [2222], [22222]], (1, MEMBERS)), rtol=1e-6
    )
    np.testing.assert_array_equal(rewards, [[1, 2, 3]] * STEPS)


def test_expectation_takes_means_where_sampling_draws_for_each_particle_its_own():
    state = jnp.zeros((MEMBERS, 1))
    for number in range(3):
        prediction = model_of(Expectation(), noise=5.0).step(
            jax.random.key(number), state, jnp.array(0)
        )
        np.testing.assert_allclose(prediction.state, 2.0)
    for propagation in (TS1(SHARE), TSInfinity(SHARE)):
        drawn = (
            model_of(propagation, noise=1e-2)
            .step(KEY, jnp.zeros((MEMBERS * SHARE, 1)), jnp.array(0))
            .state
        )
        assert np.unique(drawn).size == MEMBERS * SHARE
        np.testing.assert_array_equal(
            np.bincount(np.rint(drawn[:, 0]).astype(int)), [0, SHARE, SHARE, SHARE]
        )


@pytest.mark.parametrize(
    "propagation",
    [Expectation(), TS1(1), TSInfinity(2), TS1(7)],
    ids=["expectation", "ts1", "ts_infinity", "ts1 of 7"],
)
def test_a_state_is_the_observation_once_a_particle(propagation):
    state = model_of(propagation, size=2).encode(KEY, jnp.array([0.5, -1.0]))
    np.testing.assert_array_equal(
        state, np.tile([0.5, -1.0], (MEMBERS * propagation.particles_per_member, 1))
    )


@pytest.mark.parametrize(
    ("pessimism", "expected"), [(0.0, 4.5), (1.0, 2.0), (2.0, -0.5), (-1.0, 7.0)]
)
def test_estimates_are_averaged_over_a_members_particles_before_members_are_compared(
    pessimism, expected
):
    """Members' means are 2 and 7: their mean is 4.5, their standard deviation 2.5, however far the particles of one spread."""
    model = model_of(TSInfinity(3), num_members=2, pessimism=pessimism)
    np.testing.assert_allclose(
        model.aggregate(jnp.array([1.0, 2.0, 3.0, 5.0, 6.0, 10.0])), expected, rtol=1e-6
    )


@pytest.mark.parametrize(
    "propagation",
    [Expectation(), TS1(SHARE), TSInfinity(SHARE)],
    ids=["expectation", "ts1", "ts_infinity"],
)
def test_disagreement_is_the_spread_over_members_in_units_of_the_change_and_at_most_1_a_dimension(
    propagation,
):
    """The digits 1, 2 and 3 have a standard deviation of √(2/3) = 0.816; under TS1, too, it is that of the networks that moved."""
    model = model_of(propagation, size=2)
    normaliser = eqx.tree_at(lambda n: n.delta_std, model.normaliser, jnp.array([4.0, 0.5]))
    prediction = model.with_normaliser(normaliser).step(
        KEY, model.encode(KEY, jnp.array([1.0, -2.0])), jnp.array(0)
    )
    np.testing.assert_allclose(prediction.disagreement, (np.sqrt(2 / 3) / 4 + 1) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    "propagation",
    [Expectation(), TS1(SHARE), TSInfinity(SHARE)],
    ids=["expectation", "ts1", "ts_infinity"],
)
def test_members_that_say_the_same_do_not_disagree(propagation):
    model = eqx.tree_at(
        lambda m: m.components.dynamics.digit, model_of(propagation), jnp.full(MEMBERS, 2.0)
    )
    assert model.step(KEY, model.encode(KEY, jnp.ones(1)), jnp.array(0)).disagreement == 0


@pytest.mark.parametrize("propagation", [TS1(SHARE), TSInfinity(SHARE)], ids=["ts1", "ts_infinity"])
def test_what_is_random_in_the_world_is_no_disagreement(propagation):
    """Else a bonus for it would keep an agent before the noisiest screen of the house."""
    model = eqx.tree_at(
        lambda m: m.components.dynamics.digit,
        model_of(propagation, noise=5.0),
        jnp.full(MEMBERS, 2.0),
    )
    prediction = model.step(KEY, model.encode(KEY, jnp.ones(1)), jnp.array(0))
    assert prediction.disagreement == 0
    assert (
        np.unique(prediction.state).size == MEMBERS * SHARE
    )  # from here on the particles stand apart
    assert model.step(KEY, prediction.state, jnp.array(0)).disagreement == 0


@pytest.mark.parametrize("make", [TS1, TSInfinity])
@pytest.mark.parametrize("number", [0, -2])
def test_members_without_particles_are_refused(make, number):
    with pytest.raises(
        ValueError,
        match=rf"model.propagation.particles_per_member={number} must be at least 1; raise it",
    ):
        make(number)
