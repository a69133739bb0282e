"""Noise: as wide at every step, as coloured as asked."""

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
    """Of each two steps, [steps, steps]."""
    return np.corrcoef(sequences.T)


@every_noise
@pytest.mark.parametrize("num_steps", [1, 2, 15])
def test_every_step_is_a_standard_normal(make, num_steps):
    noise = np.asarray(make(KEY, (NUM_SEQUENCES, num_steps, 2)))
    assert noise.shape == (NUM_SEQUENCES, num_steps, 2)
    assert noise.dtype == np.float32
    # Standard errors 0.011 of the mean, 0.016 of the variance, 0.055 of the fourth moment's 3 in units of its own: five of them.
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.056)
    np.testing.assert_allclose(noise.var(0), 1, atol=0.08)
    np.testing.assert_allclose((noise**4).mean(0), 3, atol=0.55)


@every_noise
def test_features_and_sequences_do_not_go_together(make):
    noise = np.asarray(make(KEY, (NUM_SEQUENCES, 8, 2)))
    first, second = np.swapaxes(noise, 0, 2).swapaxes(1, 2)
    # Correlations of 8000 pairs vary by 0.011: five of them.
    assert np.abs(np.corrcoef(first.T, second.T)[:8, 8:]).max() < 0.056
    assert np.abs(np.corrcoef(first[:-1].T, first[1:].T)[:8, 8:]).max() < 0.056


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_the_spectrum_of_coloured_noise_falls_by_its_exponent(exponent):
    """The slope of the periodogram, both axes logarithmic; Hann's window keeps the ends of what is cut from leaking."""
    noise = np.asarray(coloured_noise(KEY, (500, 256, 1), exponent))[:, :, 0]
    density = np.mean(np.abs(np.fft.rfft(noise * np.hanning(256), axis=1)) ** 2, axis=0)
    waves = np.arange(4, 100)  # longer ones are blurred by the window, shorter ones by the grid
    slope = np.polyfit(np.log(waves), np.log(density[waves]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_steps_of_coloured_noise_go_together_as_its_waves_do(exponent):
    """Sums of the cosines of a period twice as long; the wave that never changes is as strong as the slowest that does."""
    num_steps = 12
    numbers = np.arange(2 * num_steps)
    frequencies = np.minimum(numbers, 2 * num_steps - numbers) / (2 * num_steps)
    frequencies[0] = 1 / (2 * num_steps)
    power = frequencies**-exponent / np.sum(frequencies**-exponent)
    lags = np.abs(np.arange(num_steps)[:, None] - np.arange(num_steps)[None])
    expected = np.sum(power * np.cos(np.pi * lags[..., None] * numbers / num_steps), axis=-1)
    noise = np.asarray(coloured_noise(KEY, (NUM_SEQUENCES, num_steps, 1), exponent))[:, :, 0]
    np.testing.assert_allclose(correlations(noise), expected, atol=0.056)


def test_coloured_noise_does_not_return_to_where_it_began():
    """In a periodic sequence the last step is the first one's neighbour, and red neighbours are nearly the same."""
    together = correlations(np.asarray(coloured_noise(KEY, (4000, 100, 1), 2.0))[:, :, 0])
    assert together[0, 1] > 0.95
    assert together[0, -1] < 0.1


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_steps_of_smoothed_noise_go_together_less_and_less(correlation):
    """By ρ a step, from the first one on."""
    noise = np.asarray(smoothed_noise(KEY, (NUM_SEQUENCES, 10, 1), correlation))[:, :, 0]
    lags = np.abs(np.arange(10)[:, None] - np.arange(10)[None])
    np.testing.assert_allclose(correlations(noise), correlation**lags, atol=0.056)


@every_noise
def test_another_key_gives_other_noise(make):
    shape = (2, 3, 1)
    assert jnp.array_equal(make(KEY, shape), make(KEY, shape))
    assert not np.any(make(KEY, shape) == make(jax.random.key(1), shape))
