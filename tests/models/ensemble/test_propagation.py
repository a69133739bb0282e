"""Propagation, with members that append a digit to the observation to show their order."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.ensemble.dynamics import AbstractDynamics
from mbrl.models.ensemble.propagation import TS1, Expectation, TSInfinity
from mbrl.models.ensemble.reward import AbstractReward
from mbrl.models.ensemble.termination import NoTermination
from mbrl.models.ensemble.world_model import WorldModel
from mbrl.models.risk import LowerConfidenceBound
from mbrl.models.value import AbstractValue
from mbrl.types import Discrete
from tests.models.small import example_normaliser

KEY = jax.random.key(0)
MEMBERS, PARTICLES, STEPS = 3, 4, 5  # particles per member


class DigitDynamics(AbstractDynamics):
    """Appends the member's digit to those of the observation; samples have `noise` added."""

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


class MemberReward(AbstractReward):
    """The member's number."""

    number: jax.Array

    def __init__(self, observation_size: int, num_features: int, key: jax.Array):
        self.number = jnp.zeros(())

    def __call__(self, normaliser, observation, action, next_observation, continuation):
        return self.number

    def loss(self, normaliser, observation, action, next_observation, reward, terminated):
        return jnp.zeros(())

    def widen_reward_bounds(self, normaliser):
        return normaliser


class MemberValue(AbstractValue):
    """The member's number."""

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
    """A model whose members have the digits and numbers 1, 2, 3, …"""
    components = {
        "dynamics": partial(DigitDynamics, noise=noise),
        "reward": MemberReward,
        "termination": NoTermination,
        "value": MemberValue,
    }
    settings = {
        "num_members": num_members,
        "pessimism": pessimism,
        "observation_size": size,
        "action_space": Discrete(2),
        "risk": LowerConfidenceBound(),
    }
    model = WorldModel(**components, propagation=propagation, key=KEY, **settings)

    def member_numbers(m):
        return m.components.dynamics.digit, m.components.reward.number, m.value_function.number

    return eqx.tree_at(
        member_numbers, model, (jnp.arange(1.0, num_members + 1),) * 3
    ).with_normaliser(example_normaliser(size))


@eqx.filter_jit
def histories(model, key):
    """The particles' observations, rewards and values after each step; [steps, particles]."""

    def one_step(state, key):
        prediction = model.step(key, state, jnp.array(0))
        return prediction.state, (
            prediction.state[:, 0],
            prediction.reward,
            model.value(prediction.state),
        )

    return jax.lax.scan(one_step, model.encode(jnp.zeros(1)), jax.random.split(key, STEPS))[1]


def assigned_members(model, key=KEY) -> np.ndarray:
    """The member that moved each particle, from its last digit; [steps, particles]."""
    digits = np.asarray(histories(model, key)[0]).astype(int)
    np.testing.assert_array_equal(
        digits[1:] // 10, digits[:-1], err_msg="a particle continues from its own observation"
    )
    return digits % 10


def test_in_ts1_each_member_moves_equally_many_particles_in_every_step():
    for members in assigned_members(model_of(TS1(PARTICLES))):
        np.testing.assert_array_equal(
            np.bincount(members, minlength=4), [0, PARTICLES, PARTICLES, PARTICLES]
        )


def test_in_ts1_particles_change_members_between_steps_at_random():
    members = assigned_members(model_of(TS1(PARTICLES)))
    assert all((now != then).any() for now, then in zip(members[1:], members[:-1], strict=True))
    assert (members != assigned_members(model_of(TS1(PARTICLES)), jax.random.key(1))).any()
    many = np.concatenate(
        [assigned_members(model_of(TS1(PARTICLES)), jax.random.key(number)) for number in range(80)]
    )
    # Each member moves each particle a third of the time. Binomial over 400 steps: five standard
    # deviations of 0.0236.
    for member in (1, 2, 3):
        np.testing.assert_allclose(np.mean(many == member, axis=0), 1 / 3, atol=0.118)


def test_in_ts_infinity_particles_keep_their_member():
    for key in (KEY, jax.random.key(1)):
        np.testing.assert_array_equal(
            assigned_members(model_of(TSInfinity(PARTICLES)), key),
            [np.repeat([1, 2, 3], PARTICLES)] * STEPS,
        )


@pytest.mark.parametrize(
    "propagation", [TS1(PARTICLES), TSInfinity(PARTICLES)], ids=["ts1", "ts_infinity"]
)
def test_reward_and_value_always_come_from_a_particles_first_member(propagation):
    _, rewards, values = histories(model_of(propagation), KEY)
    np.testing.assert_array_equal(rewards, [np.repeat([1, 2, 3], PARTICLES)] * STEPS)
    np.testing.assert_array_equal(values, [np.repeat([1, 2, 3], PARTICLES)] * STEPS)


def test_in_expectation_all_particles_move_to_the_mean_over_members():
    """The mean of the digits 1, 2 and 3 is 2."""
    digits, rewards, _ = histories(model_of(Expectation()), KEY)
    np.testing.assert_allclose(
        digits, np.tile([[2], [22], [222], [2222], [22222]], (1, MEMBERS)), rtol=1e-6
    )
    np.testing.assert_array_equal(rewards, [[1, 2, 3]] * STEPS)


def test_expectation_takes_means_and_trajectory_sampling_samples_per_particle():
    state = jnp.zeros((MEMBERS, 1))
    for number in range(3):
        prediction = model_of(Expectation(), noise=5.0).step(
            jax.random.key(number), state, jnp.array(0)
        )
        np.testing.assert_allclose(prediction.state, 2.0)
    for propagation in (TS1(PARTICLES), TSInfinity(PARTICLES)):
        samples = (
            model_of(propagation, noise=1e-2)
            .step(KEY, jnp.zeros((MEMBERS * PARTICLES, 1)), jnp.array(0))
            .state
        )
        assert np.unique(samples).size == MEMBERS * PARTICLES
        np.testing.assert_array_equal(
            np.bincount(np.rint(samples[:, 0]).astype(int)), [0, PARTICLES, PARTICLES, PARTICLES]
        )


@pytest.mark.parametrize(
    "propagation",
    [Expectation(), TS1(1), TSInfinity(2), TS1(7)],
    ids=["expectation", "ts1", "ts_infinity", "ts1 of 7"],
)
def test_a_state_is_the_observation_once_per_particle(propagation):
    state = model_of(propagation, size=2).encode(jnp.array([0.5, -1.0]))
    np.testing.assert_array_equal(
        state, np.tile([0.5, -1.0], (MEMBERS * propagation.particles_per_member, 1))
    )


@pytest.mark.parametrize(
    ("pessimism", "expected"), [(0.0, 4.5), (1.0, 2.0), (2.0, -0.5), (-1.0, 7.0)]
)
def test_estimates_are_averaged_over_a_members_particles_before_pessimism(pessimism, expected):
    """Members' means are 2 and 7: mean 4.5, standard deviation 2.5."""
    model = model_of(TSInfinity(3), num_members=2, pessimism=pessimism)
    np.testing.assert_allclose(
        model.aggregate(jnp.array([1.0, 2.0, 3.0, 5.0, 6.0, 10.0])), expected, rtol=1e-6
    )


@pytest.mark.parametrize(
    "propagation",
    [Expectation(), TS1(PARTICLES), TSInfinity(PARTICLES)],
    ids=["expectation", "ts1", "ts_infinity"],
)
def test_disagreement_is_the_members_standard_deviation_over_that_of_the_change(
    propagation,
):
    """The digits' standard deviation is √(2/3); each dimension counts for at most 1."""
    model = model_of(propagation, size=2)
    normaliser = eqx.tree_at(lambda n: n.delta_std, model.normaliser, jnp.array([4.0, 0.5]))
    prediction = model.with_normaliser(normaliser).step(
        KEY, model.encode(jnp.array([1.0, -2.0])), jnp.array(0)
    )
    np.testing.assert_allclose(
        prediction.heads["disagreement"], (np.sqrt(2 / 3) / 4 + 1) / 2, rtol=1e-5
    )


@pytest.mark.parametrize(
    "propagation",
    [Expectation(), TS1(PARTICLES), TSInfinity(PARTICLES)],
    ids=["expectation", "ts1", "ts_infinity"],
)
def test_equal_members_do_not_disagree(propagation):
    model = eqx.tree_at(
        lambda m: m.components.dynamics.digit, model_of(propagation), jnp.full(MEMBERS, 2.0)
    )
    assert model.step(KEY, model.encode(jnp.ones(1)), jnp.array(0)).heads["disagreement"] == 0


@pytest.mark.parametrize(
    "propagation", [TS1(PARTICLES), TSInfinity(PARTICLES)], ids=["ts1", "ts_infinity"]
)
def test_noise_of_the_environment_is_not_disagreement(propagation):
    """Else a bonus would attract the agent to noise (the noisy-TV problem)."""
    model = eqx.tree_at(
        lambda m: m.components.dynamics.digit,
        model_of(propagation, noise=5.0),
        jnp.full(MEMBERS, 2.0),
    )
    prediction = model.step(KEY, model.encode(jnp.ones(1)), jnp.array(0))
    assert prediction.heads["disagreement"] == 0
    assert np.unique(prediction.state).size == MEMBERS * PARTICLES  # particles differ from here on
    assert model.step(KEY, prediction.state, jnp.array(0)).heads["disagreement"] == 0


@pytest.mark.parametrize("make", [TS1, TSInfinity])
@pytest.mark.parametrize("number", [0, -2])
def test_fewer_than_one_particle_per_member_is_refused(make, number):
    with pytest.raises(
        ValueError,
        match=rf"model.propagation.particles_per_member={number}: must be at least 1",
    ):
        make(number)
