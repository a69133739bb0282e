"""Residual, Gaussian and known dynamics."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl.config.build import build
from mbrl.data.normaliser import Normaliser, identity_normaliser
from mbrl.envs import corridor, pendulum
from mbrl.models.ensemble.dynamics import GaussianDynamics, KnownDynamics, ResidualDynamics
from tests.configs import resolved
from tests.models.small import (
    NORMALISER,
    OBSERVATION_SIZE,
    SIZES,
    example_normaliser,
    example_step,
    num_parameters,
    weighted,
    zeroed,
)

DYNAMICS = weighted(lambda: ResidualDynamics(**SIZES, key=jax.random.key(0), width=8, depth=1))
KEY = jax.random.key(1)


def test_a_zero_network_predicts_the_mean_change():
    observation, action, _ = example_step()
    predicted = zeroed(DYNAMICS).mean(NORMALISER, observation, action)
    np.testing.assert_array_equal(predicted, [0.75, -1.0, -0.5, 3.0])


def test_a_zero_networks_loss_is_the_mean_square_of_the_normalised_change():
    """Changes (0.5, 0.5, -1, 1.5); means (0.25, 0, -0.5, 1) and scales (0.5, 2, 1, 0.25)."""
    observation, action, next_observation = example_step()
    loss = zeroed(DYNAMICS).loss(NORMALISER, observation, action, next_observation)
    np.testing.assert_allclose(loss, np.mean(np.square([0.5, 0.25, -0.5, 2.0])), rtol=1e-6)


def test_the_networks_input_and_output_are_normalised():
    observation, action, _ = example_step()
    predicted = DYNAMICS.mean(NORMALISER, observation, action)
    scaled = (observation - NORMALISER.observation_mean) / NORMALISER.observation_std
    change = DYNAMICS.network(jnp.concatenate([scaled, action]))
    np.testing.assert_allclose(
        predicted, observation + NORMALISER.delta_mean + NORMALISER.delta_std * change, rtol=1e-6
    )


def test_a_deterministic_networks_samples_are_its_mean():
    observation, action, _ = example_step()
    mean = DYNAMICS.mean(NORMALISER, observation, action)
    for number in range(3):
        np.testing.assert_array_equal(
            DYNAMICS.sample(NORMALISER, jax.random.key(number), observation, action), mean
        )


def test_the_loss_is_zero_only_for_the_right_prediction():
    observation, action, next_observation = example_step()
    predicted = DYNAMICS.mean(NORMALISER, observation, action)
    np.testing.assert_allclose(
        DYNAMICS.loss(NORMALISER, observation, action, predicted), 0, atol=1e-10
    )
    assert DYNAMICS.loss(NORMALISER, observation, action, next_observation) > 1e-3


def predict_unscaled(dynamics):
    def predict(observation, action):
        return dynamics.mean(identity_normaliser(OBSERVATION_SIZE), observation, action)

    return predict


def test_the_prediction_depends_on_observation_and_action():
    observation, action, _ = example_step()
    by_observation, by_action = jax.jacobian(predict_unscaled(DYNAMICS), argnums=(0, 1))(
        observation, action
    )
    assert np.abs(by_observation - np.eye(OBSERVATION_SIZE)).min() > 0
    assert np.abs(by_action).min() > 0


LOW, HIGH = np.array([-3.0, -2.0, -4.0, -1.0]), np.array([0.5, 1.0, 0.0, 2.0])


def example_gaussian() -> GaussianDynamics:
    """Gaussian dynamics with distinct bounds."""
    dynamics = weighted(
        lambda: GaussianDynamics(**SIZES, key=jax.random.key(0), width=8, depth=1), seed=3
    )
    return eqx.tree_at(lambda d: (d.low, d.high), dynamics, (jnp.float32(LOW), jnp.float32(HIGH)))


GAUSSIAN = example_gaussian()


def reference_gaussian(
    dynamics: GaussianDynamics, observation, action
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log-variance of the normalised change, in NumPy with double precision."""

    def softplus(x):
        return np.logaddexp(0, x)

    values = np.concatenate(
        [(observation - NORMALISER.observation_mean) / NORMALISER.observation_std, action]
    ).astype(float)
    hidden, last = (
        (np.asarray(layer.weight, float), np.asarray(layer.bias, float))
        for layer in dynamics.network.layers
    )
    values = hidden[0] @ values + hidden[1]
    mean, log_variance = np.split(last[0] @ (values / (1 + np.exp(-values))) + last[1], 2)
    log_variance = HIGH - softplus(HIGH - log_variance)
    return mean, LOW + softplus(log_variance - LOW)


def test_a_gaussians_loss_is_twice_the_negative_log_likelihood_plus_a_penalty():
    observation, action, next_observation = example_step()
    mean, log_variance = reference_gaussian(GAUSSIAN, observation, action)
    target = (
        np.asarray(next_observation - observation, float) - NORMALISER.delta_mean
    ) / NORMALISER.delta_std
    density = np.exp(-((target - mean) ** 2) / (2 * np.exp(log_variance))) / np.sqrt(
        2 * np.pi * np.exp(log_variance)
    )
    expected = np.mean(-2 * np.log(density) - np.log(2 * np.pi)) + 0.01 * np.sum(HIGH - LOW)
    np.testing.assert_allclose(
        GAUSSIAN.loss(NORMALISER, observation, action, next_observation), expected, rtol=1e-5
    )


def test_a_gaussians_samples_have_the_mean_and_spread_that_it_predicts():
    observation, action, _ = example_step()
    mean, log_variance = reference_gaussian(GAUSSIAN, observation, action)
    mean = observation + NORMALISER.delta_mean + NORMALISER.delta_std * mean
    std = np.asarray(NORMALISER.delta_std) * np.exp(log_variance / 2)
    np.testing.assert_allclose(GAUSSIAN.mean(NORMALISER, observation, action), mean, rtol=1e-5)
    drawn = np.asarray(samples(GAUSSIAN, NORMALISER, observation, action, 4000))
    # Five standard errors of the mean, std / √n, and of the standard deviation, std / √(2n).
    np.testing.assert_allclose((drawn.mean(0) - mean) / std, 0, atol=5 / np.sqrt(4000))
    np.testing.assert_allclose(drawn.std(0) / std, 1, atol=5 / np.sqrt(8000))
    correlations = np.corrcoef(drawn.T) - np.eye(OBSERVATION_SIZE)
    np.testing.assert_allclose(correlations, 0, atol=5 / np.sqrt(4000))


@eqx.filter_jit
def samples(dynamics, normaliser: Normaliser, observation, action, number: int):
    return jax.vmap(lambda key: dynamics.sample(normaliser, key, observation, action))(
        jax.random.split(KEY, number)
    )


@pytest.mark.parametrize(
    ("output", "clipped"),
    [(-1e4, -10.0), (-20.0, -10.0), (-4.0, -4.0), (-1.0, -1.2), (20.0, 0.5), (1e4, 0.5)],
)
def test_a_gaussians_log_variance_stays_between_its_bounds(output, clipped):
    """Read from the loss of a right prediction, where only the log-variance remains."""
    normaliser = example_normaliser(1)
    fresh = GaussianDynamics(1, 1, jax.random.key(0), width=1, depth=1)
    assert (fresh.low, fresh.high) == (-10, 0.5)
    network = eqx.tree_at(
        lambda n: n.layers[-1].bias, zeroed(fresh.network), jnp.array([0.0, output])
    )
    dynamics = eqx.tree_at(lambda d: d.network, fresh, network)
    observation, action = jnp.array([0.5]), jnp.array([1.0])
    right = dynamics.mean(normaliser, observation, action)
    log_variance = float(dynamics.loss(normaliser, observation, action, right)) - 0.01 * 10.5
    assert -10 - 1e-4 <= log_variance <= 0.5 + 1e-4
    np.testing.assert_allclose(log_variance, clipped, atol=0.05)


def test_the_bounds_are_learned_and_their_distance_is_penalised():
    observation, action, next_observation = example_step()
    gradient = eqx.filter_jit(
        eqx.filter_grad(
            lambda dynamics: dynamics.loss(NORMALISER, observation, action, next_observation)
        )
    )(GAUSSIAN)
    assert np.all(gradient.low != 0)
    assert np.all(gradient.high != 0)
    # Far from the bounds the likelihood does not depend on them, only the penalty does.
    wide = eqx.tree_at(lambda d: (d.low, d.high), GAUSSIAN, (jnp.full(4, -60.0), jnp.full(4, 60.0)))
    gradient = eqx.filter_jit(
        eqx.filter_grad(
            lambda dynamics: dynamics.loss(NORMALISER, observation, action, next_observation)
        )
    )(wide)
    np.testing.assert_allclose(gradient.low, -0.01, rtol=1e-4)
    np.testing.assert_allclose(gradient.high, 0.01, rtol=1e-4)


def test_a_gaussian_learns_the_noise_of_the_data():
    """A change of half the action, with noise of 0.1 for negative and 0.4 for positive actions."""
    generator = np.random.default_rng(0)
    observation, action = (
        generator.normal(size=(2000, 1)),
        generator.choice([-1.0, 1.0], size=(2000, 1)),
    )
    noise = np.where(action < 0, 0.1, 0.4) * generator.normal(size=(2000, 1))
    data = tuple(
        jnp.asarray(column, jnp.float32)
        for column in (observation, action, observation + 0.5 * action + noise)
    )
    normaliser = eqx.tree_at(lambda n: n.delta_std, identity_normaliser(1), jnp.array([0.5]))
    dynamics = fit(GaussianDynamics(1, 1, jax.random.key(0), width=8, depth=1), normaliser, data)
    for direction, std in ((-1.0, 0.1), (1.0, 0.4)):
        drawn = np.asarray(
            samples(dynamics, normaliser, jnp.zeros(1), jnp.array([direction]), 4000)
        )
        np.testing.assert_allclose(drawn.std(), std, rtol=0.2)
        np.testing.assert_allclose(drawn.mean(), 0.5 * direction, atol=0.1)


def fit(dynamics: GaussianDynamics, normaliser: Normaliser, data) -> GaussianDynamics:
    optimizer = optax.adam(2e-2)
    parameters, fixed = eqx.partition(dynamics, eqx.is_inexact_array)

    def loss(parameters):
        one = eqx.combine(parameters, fixed)
        return jnp.mean(jax.vmap(lambda *step: one.loss(normaliser, *step))(*data))

    def update(carry, _):
        parameters, state = carry
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            steps, state = optimizer.update(jax.grad(loss)(parameters), state)
        return (optax.apply_updates(parameters, steps), state), None

    (parameters, _), _ = jax.jit(lambda start: jax.lax.scan(update, start, length=400))(
        (parameters, optimizer.init(parameters))
    )
    return eqx.combine(parameters, fixed)


def test_known_dynamics_are_the_environments_step_from_observation_to_observation():
    """The pendulum's state is an angle; its observation holds cosine and sine."""
    truth = pendulum.TrueDynamics()
    observation, action = (
        jnp.array([np.cos(0.5), np.sin(0.5), -1.0], jnp.float32),
        jnp.array([0.25]),
    )
    expected = truth.observe(truth.step(None, jnp.array([0.5, -1.0]), action))
    known = KnownDynamics(truth)
    np.testing.assert_allclose(
        known.mean(example_normaliser(3), observation, action), expected, rtol=1e-5
    )
    np.testing.assert_allclose(
        known.sample(example_normaliser(3), KEY, observation, action), expected, rtol=1e-5
    )


def test_known_dynamics_sample_the_noise_and_average_it_in_the_mean():
    """A step to the right slips with probability 0.3; the corridor's cells are 0.2 wide."""
    known = KnownDynamics(corridor.TrueDynamics(length=11, slip=0.3))
    observation, right = jnp.zeros(1), jnp.array([0.0, 1.0])
    np.testing.assert_allclose(
        known.mean(example_normaliser(1), observation, right), [0.2 * 0.4], rtol=1e-5
    )
    drawn = np.asarray(samples(known, example_normaliser(1), observation, right, 1000))[:, 0]
    np.testing.assert_allclose(np.unique(drawn.round(3)), [-0.2, 0.2])
    # Binomial: the standard deviation is √(0.21 / 1000) = 0.0145. Five of them.
    np.testing.assert_allclose(np.mean(drawn < 0), 0.3, atol=0.073)


def test_known_dynamics_have_no_parameters():
    known = KnownDynamics(pendulum.TrueDynamics(), observation_size=3, num_features=1, key=KEY)
    assert num_parameters(known) == 0
    assert known.loss(example_normaliser(3), jnp.zeros(3), jnp.zeros(1), jnp.ones(3)) == 0


def test_missing_true_dynamics_are_refused():
    with pytest.raises(
        ValueError,
        match=r"env.true_dynamics=null: model=oracle needs .* Choose .* model=ensemble\.$",
    ):
        KnownDynamics(None, observation_size=3, num_features=1, key=KEY)


@pytest.mark.parametrize(
    "overrides",
    [("env=pendulum",), ("env=cartpole",), ("env=point_mass", "env.kwargs.actions=multi_discrete")],
    ids=" ".join,
)
def test_the_oracle_predicts_the_environment_exactly(overrides):
    """State, reward and termination over ten real steps, each from the prediction before."""
    choices = ("model=oracle", "model/value=none", "model.num_members=2")
    config = resolved(*overrides, *choices).tree
    environment = build(config.env)
    learner = build(config.model)
    model = learner.init(KEY, environment.observation_size, environment.action_space).model
    env = environment.make()
    observation, _ = env.reset(seed=0)
    state = model.encode(jnp.asarray(observation))
    for action in jax.vmap(environment.action_space.sample)(jax.random.split(KEY, 10)):
        prediction = predict(model, state, action)
        observation, reward, terminated, _, _ = env.step(np.asarray(action))
        np.testing.assert_allclose(prediction.state, np.tile(observation, (2, 1)), atol=1e-4)
        np.testing.assert_allclose(prediction.reward, [reward, reward], atol=1e-4)
        np.testing.assert_array_equal(prediction.continuation, [not terminated] * 2)
        assert prediction.heads["disagreement"] < 1e-4
        state = prediction.state


@eqx.filter_jit
def predict(model, state, action):
    return model.step(KEY, state, action)
