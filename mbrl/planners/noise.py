"""Noise over the steps of a plan or an episode: white, coloured or smoothed.

Each entry is a standard normal; the kinds differ in the correlation between steps.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

MAX_EXPONENT = 10  # of a spectral density; above it, only the slowest wave remains


def white_noise(
    key: PRNGKeyArray, shape: tuple[int, int, int]
) -> Float[Array, "sequences steps features"]:
    """Independent steps."""
    return jax.random.normal(key, shape)


def coloured_noise(
    key: PRNGKeyArray, shape: tuple[int, int, int], exponent: float
) -> Float[Array, "sequences steps features"]:
    """Correlated steps with a spectral density of 1/f^exponent: 0 white, 1 pink, 2 red.

    Timmer & König (1995). Sequences are generated at twice the length and cut, since a discrete
    spectrum describes a periodic sequence, whose last steps would be correlated with the first.
    """
    num_sequences, num_steps, num_features = shape
    white = white_noise(key, (num_sequences, 2 * num_steps, num_features))
    frequencies = np.abs(np.fft.fftfreq(2 * num_steps))
    frequencies[0] = frequencies[1]  # the mean varies like the slowest wave
    amplitudes = frequencies ** (-exponent / 2)
    amplitudes = amplitudes / np.sqrt(np.mean(amplitudes**2))  # unit variance
    amplitudes = amplitudes[None, : num_steps + 1, None].astype(np.complex64)
    spectrum = jnp.fft.rfft(white, axis=1) * amplitudes
    return jnp.fft.irfft(spectrum, axis=1)[:, :num_steps]


def smoothed_noise(
    key: PRNGKeyArray, shape: tuple[int, int, int], correlation: float
) -> Float[Array, "sequences steps features"]:
    """First-order autoregressive steps: n_t = ρ n_{t-1} + √(1 - ρ²) u_t.

    After Nagabandi et al. (2019), rescaled to unit variance.
    """
    lags = np.arange(shape[1])[:, None] - np.arange(shape[1])[None]
    rows = np.where(lags >= 0, correlation ** np.maximum(lags, 0), 0.0)
    # The first step has no predecessor and is a standard normal already.
    rows[:, 1:] *= np.sqrt(1 - correlation**2)
    white = white_noise(key, shape)
    return jnp.einsum("tu,suf->stf", jnp.asarray(rows, white.dtype), white)
