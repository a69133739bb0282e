"""Residual dynamics: a change of the observation, in the scale of the data."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl.data.normaliser import identity_normaliser
from mbrl.models.dynamics import ResidualDynamics
from tests.models.small import NORMALISER, OBSERVATION_SIZE, SIZES, a_step, silenced, weighted

DYNAMICS = weighted(lambda: ResidualDynamics(**SIZES, key=jax.random.key(0), width=8, depth=1))
KEY = jax.random.key(1)


def test_a_silent_network_predicts_the_mean_change():
    observation, action, _ = a_step()
    predicted = silenced(DYNAMICS)(NORMALISER, KEY, observation, action)
    np.testing.assert_array_equal(predicted, [0.75, -1.0, -0.5, 3.0])


def test_a_silent_networks_loss_is_the_mean_square_of_the_normalised_change():
    """Changes (0.5, 0.5, -1, 1.5) less their means (0.25, 0, -0.5, 1), in units of (0.5, 2, 1, 0.25)."""
    observation, action, next_observation = a_step()
    loss = silenced(DYNAMICS).loss(NORMALISER, observation, action, next_observation)
    np.testing.assert_allclose(loss, np.mean(np.square([0.5, 0.25, -0.5, 2.0])), rtol=1e-6)


def test_the_network_reads_normalised_observations_and_speaks_normalised_changes():
    observation, action, _ = a_step()
    predicted = DYNAMICS(NORMALISER, KEY, observation, action)
    scaled = (observation - NORMALISER.observation_mean) / NORMALISER.observation_std
    change = DYNAMICS.network(jnp.concatenate([scaled, action]))
    np.testing.assert_allclose(predicted, observation + NORMALISER.delta_mean + NORMALISER.delta_std * change, rtol=1e-6)


def test_the_loss_is_zero_exactly_where_the_prediction_is_right():
    observation, action, next_observation = a_step()
    predicted = DYNAMICS(NORMALISER, KEY, observation, action)
    np.testing.assert_allclose(DYNAMICS.loss(NORMALISER, observation, action, predicted), 0, atol=1e-10)
    assert DYNAMICS.loss(NORMALISER, observation, action, next_observation) > 1e-3


def test_the_prediction_depends_on_observation_and_action():
    observation, action, _ = a_step()

    def predict(observation, action):
        return DYNAMICS(identity_normaliser(OBSERVATION_SIZE), KEY, observation, action)

    by_observation, by_action = jax.jacobian(predict, argnums=(0, 1))(observation, action)
    assert np.abs(by_observation - np.eye(OBSERVATION_SIZE)).min() > 0
    assert np.abs(by_action).min() > 0
