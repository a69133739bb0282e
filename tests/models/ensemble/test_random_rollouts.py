"""Rollouts of random policies follow the model, cover more than random actions, never diverge."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.envs.true_dynamics import AbstractTrueDynamics
from mbrl.models.ensemble.dynamics import KnownDynamics
from mbrl.models.ensemble.random_rollouts import random_policy_rollouts
from mbrl.models.ensemble.world_model import WorldModel
from mbrl.types import AbstractActionSpace, Box, Discrete
from tests.models.small import DYNAMICS_ONLY, small_model


class Cart(AbstractTrueDynamics):
    """A unit mass, pushed left or right, with position and speed; NaN beyond `cliff`."""

    cliff: float

    def from_observation(self, observation):
        return observation

    def step(self, key, state, action):
        force = action[1] - action[0] if len(action) == 2 else action[0]
        position, speed = state
        moved = jnp.stack([position + 0.1 * speed, speed + 0.1 * force])
        return jnp.where(jnp.abs(moved[0]) > self.cliff, jnp.nan, moved)

    def observe(self, state):
        return state


def cart(space: AbstractActionSpace, cliff: float = 1e9) -> WorldModel:
    dynamics = partial(KnownDynamics, Cart(cliff))
    sizes = {"observation_size": 2, "action_space": space, "num_members": 1}
    return small_model(dynamics=dynamics, **DYNAMICS_ONLY, **sizes)


STARTS = 0.5 * jax.random.normal(jax.random.key(0), (400, 1, 2))


@pytest.fixture(params=[Discrete(2), Box(1)], ids=["discrete", "box"])
def space(request):
    return request.param


def test_rollouts_begin_at_the_starts_and_follow_the_model(space):
    states = np.asarray(random_policy_rollouts(jax.random.key(1), cart(space), STARTS, 15)).reshape(
        400, 16, 2
    )
    np.testing.assert_array_equal(states[:, 0], STARTS[:, 0])
    np.testing.assert_allclose(
        states[:, 1:, 0], states[:, :-1, 0] + 0.1 * states[:, :-1, 1], atol=1e-5
    )
    forces = np.diff(states[:, :, 1], axis=1) / 0.1
    assert (np.abs(forces) < 1 + 1e-4).all()


def test_rollouts_reach_farther_than_random_actions(space):
    speeds = (
        np.asarray(random_policy_rollouts(jax.random.key(1), cart(space), STARTS, 15)).reshape(
            400, 16, 2
        )[:, -1, 1]
        - STARTS[:, 0, 1]
    )
    # 15 random pushes of ±0.1 have a standard deviation of 0.1 · √15 = 0.39 (0.22 for a Box); the
    # standard error over 400 rollouts is below 4 %.
    assert speeds.std() > 1.5 * 0.39


def test_diverged_states_are_replaced_by_the_start(space):
    states = np.asarray(
        random_policy_rollouts(jax.random.key(1), cart(space, cliff=1.0), STARTS, 15)
    ).reshape(400, 16, 2)
    reset = (states == np.asarray(STARTS)).all(-1)
    reset[:, 0] = False
    assert reset.any()
    assert np.isfinite(states).all()


def test_a_constant_entry_of_the_starts_does_not_count_as_divergence(space):
    """All starts are at rest; a speed of 0.1 must not be infinitely many standard deviations."""
    starts = STARTS * jnp.array([[[1.0, 0.0]]])
    states = np.asarray(random_policy_rollouts(jax.random.key(1), cart(space), starts, 15)).reshape(
        400, 16, 2
    )
    assert np.isfinite(states).all()
    forces = np.diff(states[:, :, 1], axis=1) / 0.1
    assert np.mean(forces != 0) > 0.99
    # The policy's bias makes most rollouts keep their direction.
    assert np.abs(states[:, -1, 1]).mean() > 0.3


def test_rollouts_without_steps_are_the_starts(space):
    np.testing.assert_array_equal(
        random_policy_rollouts(jax.random.key(1), cart(space), STARTS, 0), STARTS
    )
