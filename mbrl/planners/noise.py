"""Noise over the steps of a plan or an episode: white, coloured, or smoothed. Each entry is a standard normal by itself."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

MAX_EXPONENT = 10  # exponent of a spectral density; beyond, there is nothing but the slowest wave


def white_noise(
    key: PRNGKeyArray, shape: tuple[int, int, int]
) -> Float[Array, "sequences steps features"]:
    """Every step on its own."""
    return jax.random.normal(key, shape)


def coloured_noise(
    key: PRNGKeyArray, shape: tuple[int, int, int], exponent: float
) -> Float[Array, "sequences steps features"]:
    """Steps that go together: a spectral density of 1/f^exponent (Timmer & König 1995); 0 is white, 1 pink, 2 red.

    Made twice as long as asked and cut, since what a discrete spectrum describes returns to where it began.
    """
    num_sequences, num_steps, num_features = shape
    white = white_noise(key, (num_sequences, 2 * num_steps, num_features))
    frequencies = np.abs(np.fft.fftfreq(2 * num_steps))
    frequencies[0] = frequencies[1]  # the mean varies like the slowest wave
    amplitudes = frequencies ** (-exponent / 2)
    amplitudes = amplitudes / np.sqrt(np.mean(amplitudes**2))  # so that the variance is one
    spectrum = jnp.fft.rfft(white, axis=1) * amplitudes[None, : num_steps + 1, None].astype(
        np.complex64
    )
    return jnp.fft.irfft(spectrum, axis=1)[:, :num_steps]


def smoothed_noise(
    key: PRNGKeyArray, shape: tuple[int, int, int], correlation: float
) -> Float[Array, "sequences steps features"]:
    """Steps that follow the last one: n_t = ρ n_{t-1} + √(1 - ρ²) u_t (after Nagabandi et al. 2019, at unit variance)."""
    lags = np.arange(shape[1])[:, None] - np.arange(shape[1])[None]
    rows = np.where(lags >= 0, correlation ** np.maximum(lags, 0), 0.0)
    rows[:, 1:] *= np.sqrt(
        1 - correlation**2
    )  # not the first: it follows nothing, and is a standard normal as it is
    white = white_noise(key, shape)
    return jnp.einsum("tu,suf->stf", jnp.asarray(rows, white.dtype), white)
