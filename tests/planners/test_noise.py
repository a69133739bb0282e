"""Noise: standard normal at every step, with the specified correlation between steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.planners.noise import coloured_noise, smoothed_noise, white_noise

KEY = jax.random.key(0)
NUM_SEQUENCES = 8000

MAKE = {
    "white": white_noise,
    "coloured 0": lambda key, shape: coloured_noise(key, shape, 0.0),
    "coloured 1": lambda key, shape: coloured_noise(key, shape, 1.0),
    "coloured 2": lambda key, shape: coloured_noise(key, shape, 2.0),
    "smoothed 0": lambda key, shape: smoothed_noise(key, shape, 0.0),
    "smoothed 0.5": lambda key, shape: smoothed_noise(key, shape, 0.5),
    "smoothed 0.9": lambda key, shape: smoothed_noise(key, shape, 0.9),
}
every_noise = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())


def correlations(sequences: np.ndarray) -> np.ndarray:
    """Correlation of each pair of steps, [steps, steps]."""
    return np.corrcoef(sequences.T)


@every_noise
@pytest.mark.parametrize("num_steps", [1, 2, 15])
def test_every_step_is_a_standard_normal(make, num_steps):
    noise = np.asarray(make(KEY, (NUM_SEQUENCES, num_steps, 2)))
    assert noise.shape == (NUM_SEQUENCES, num_steps, 2)
    assert noise.dtype == np.float32
    # Standard errors: 0.011 of the mean, 0.016 of the variance, 0.11 of the fourth moment, which
    # is 3. Tolerance: five of them.
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.056)
    np.testing.assert_allclose(noise.var(0), 1, atol=0.08)
    np.testing.assert_allclose((noise**4).mean(0), 3, atol=0.55)


@every_noise
def test_features_and_sequences_are_uncorrelated(make):
    noise = np.asarray(make(KEY, (NUM_SEQUENCES, 8, 2)))
    first, second = np.swapaxes(noise, 0, 2).swapaxes(1, 2)
    # Standard error of a correlation of 8000 pairs: 0.011. Tolerance: five of them.
    assert np.abs(np.corrcoef(first.T, second.T)[:8, 8:]).max() < 0.056
    assert np.abs(np.corrcoef(first[:-1].T, first[1:].T)[:8, 8:]).max() < 0.056


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_the_spectrum_of_coloured_noise_has_its_exponent(exponent):
    """The slope of the log-log periodogram; a Hann window reduces spectral leakage."""
    noise = np.asarray(coloured_noise(KEY, (500, 256, 1), exponent))[:, :, 0]
    density = np.mean(np.abs(np.fft.rfft(noise * np.hanning(256), axis=1)) ** 2, axis=0)
    waves = np.arange(4, 100)  # the window blurs longer ones, the grid shorter ones
    slope = np.polyfit(np.log(waves), np.log(density[waves]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_correlations_of_coloured_noise_follow_from_its_spectrum(exponent):
    """Sums of cosines over twice the length; the mean has the power of the slowest wave."""
    num_steps = 12
    indices = np.arange(2 * num_steps)
    frequencies = np.minimum(indices, 2 * num_steps - indices) / (2 * num_steps)
    frequencies[0] = 1 / (2 * num_steps)
    power = frequencies**-exponent / np.sum(frequencies**-exponent)
    lags = np.abs(np.arange(num_steps)[:, None] - np.arange(num_steps)[None])
    expected = np.sum(power * np.cos(np.pi * lags[..., None] * indices / num_steps), axis=-1)
    noise = np.asarray(coloured_noise(KEY, (NUM_SEQUENCES, num_steps, 1), exponent))[:, :, 0]
    np.testing.assert_allclose(correlations(noise), expected, atol=0.056)


def test_coloured_noise_is_not_periodic():
    """Otherwise, the last step of red noise would be nearly equal to the first."""
    matrix = correlations(np.asarray(coloured_noise(KEY, (4000, 100, 1), 2.0))[:, :, 0])
    assert matrix[0, 1] > 0.95
    assert matrix[0, -1] < 0.1


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_correlations_of_smoothed_noise_decay_exponentially(correlation):
    """By ρ a step, from the first step on."""
    noise = np.asarray(smoothed_noise(KEY, (NUM_SEQUENCES, 10, 1), correlation))[:, :, 0]
    lags = np.abs(np.arange(10)[:, None] - np.arange(10)[None])
    np.testing.assert_allclose(correlations(noise), correlation**lags, atol=0.056)


@every_noise
def test_noise_depends_on_the_key(make):
    shape = (2, 3, 1)
    assert jnp.array_equal(make(KEY, shape), make(KEY, shape))
    assert not np.any(make(KEY, shape) == make(jax.random.key(1), shape))
