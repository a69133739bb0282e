"""Rollouts of random policies follow the model, cover more than random actions, never diverge."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.models.base import AbstractWorldModel, Prediction
from mbrl.models.value import ZeroValue
from mbrl.training.random_rollouts import random_policy_rollouts
from mbrl.types import AbstractActionSpace, Box, Discrete


class Cart(AbstractWorldModel):
    """A unit mass, pushed left or right, with position and speed; NaN beyond `cliff`."""

    action_space: AbstractActionSpace
    cliff: float = 1e9
    components: tuple = ()
    value_function: ZeroValue = eqx.field(default_factory=ZeroValue)
    normaliser: tuple = ()
    num_members: int = eqx.field(static=True, default=1)
    bonus: jax.Array = eqx.field(default_factory=lambda: jnp.zeros(()))
    use_pessimism: jax.Array = eqx.field(default_factory=lambda: jnp.array(True))

    def encode(self, key, observation):
        return observation[None]

    def step(self, key, state, action):
        push = self.action_space.features(action)
        force = push[1] - push[0] if isinstance(self.action_space, Discrete) else push[0]
        position, speed = state[0]
        moved = jnp.stack([position + 0.1 * speed, speed + 0.1 * force])
        moved = jnp.where(jnp.abs(moved[0]) > self.cliff, jnp.nan, moved)
        return Prediction(moved[None], jnp.zeros(1), jnp.ones(1), jnp.zeros(()))

    def collapse_particles(self, key, state):
        return state

    def value(self, state):
        return jnp.zeros(1)

    def aggregate(self, estimates):
        return jnp.mean(estimates)

    def with_normaliser(self, normaliser):
        return self

    def losses(self, key, transitions):
        return {}


STARTS = 0.5 * jax.random.normal(jax.random.key(0), (400, 1, 2))


@pytest.fixture(params=[Discrete(2), Box(1)], ids=["discrete", "box"])
def space(request):
    return request.param


def test_rollouts_begin_at_the_starts_and_follow_the_model(space):
    states = np.asarray(random_policy_rollouts(jax.random.key(1), Cart(space), STARTS, 15)).reshape(
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
        np.asarray(random_policy_rollouts(jax.random.key(1), Cart(space), STARTS, 15)).reshape(
            400, 16, 2
        )[:, -1, 1]
        - STARTS[:, 0, 1]
    )
    # 15 random pushes of ±0.1 have a standard deviation of 0.1 · √15 = 0.39 (0.22 for a Box); the
    # standard error over 400 rollouts is below 4 %.
    assert speeds.std() > 1.5 * 0.39


def test_diverged_states_are_replaced_by_the_start(space):
    states = np.asarray(
        random_policy_rollouts(jax.random.key(1), Cart(space, cliff=1.0), STARTS, 15)
    ).reshape(400, 16, 2)
    reset = (states == np.asarray(STARTS)).all(-1)
    reset[:, 0] = False
    assert reset.any()
    assert np.isfinite(states).all()


def test_a_constant_entry_of_the_starts_does_not_count_as_divergence(space):
    """All starts are at rest; a speed of 0.1 must not be infinitely many standard deviations."""
    starts = STARTS * jnp.array([[[1.0, 0.0]]])
    states = np.asarray(random_policy_rollouts(jax.random.key(1), Cart(space), starts, 15)).reshape(
        400, 16, 2
    )
    assert np.isfinite(states).all()
    forces = np.diff(states[:, :, 1], axis=1) / 0.1
    assert np.mean(forces != 0) > 0.99
    # The policy's bias makes most rollouts keep their direction.
    assert np.abs(states[:, -1, 1]).mean() > 0.3


def test_rollouts_without_steps_are_the_starts(space):
    np.testing.assert_array_equal(
        random_policy_rollouts(jax.random.key(1), Cart(space), STARTS, 0), STARTS
    )
