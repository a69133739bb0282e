"""Robust means and bootstrap intervals of a few runs.

After Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(here: AGARWAL). Scores are of independent runs, one each; a stratum holds the runs of one
environment. All functions are deterministic.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

# With 2000 resamples, the ends of a 95 % interval are the 50th lowest and the 50th highest.
NUM_RESAMPLES = 2000
NUM_RESAMPLES_OF_CURVES = 500  # for bands, whose ends are not read to the digit
SEED = 20211  # of the resampling, so that the same runs always give the same interval
MAX_CHUNK_SIZE = 4_000_000  # numbers that are resampled at a time, about 30 MB

Statistic = Callable[[np.ndarray], np.ndarray]


class Interval(NamedTuple):
    """The ends of a bootstrap interval: numbers, or arrays [points]."""

    low: np.ndarray
    high: np.ndarray


def mean(scores: np.ndarray) -> np.ndarray:
    """The mean over runs: scores [..., runs] to [...]."""
    return np.asarray(np.mean(scores, axis=-1))


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half of the runs (IQM): scores [..., runs] to [...].

    The lowest and the highest ⌊runs/4⌋ are left out; of fewer than 4 runs it is the mean (AGARWAL).
    """
    # scipy.stats.trim_mean(scores, 0.25), but importing SciPy takes longer than most comparisons.
    num_runs = scores.shape[-1]
    cut = num_runs // 4
    middle = np.partition(scores, (cut, num_runs - cut - 1), axis=-1)[..., cut : num_runs - cut]
    return np.asarray(np.mean(middle, axis=-1))


def bootstrap_interval(
    strata: Sequence[np.ndarray],
    statistic: Statistic = interquartile_mean,
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """The percentile interval of a statistic under the stratified bootstrap (AGARWAL).

    `strata` are arrays [runs] or [points, runs], one per environment. Within each, as many runs as
    it has are drawn with replacement; the statistic maps the runs of all strata [..., runs] to
    [...]. A run of [points, runs] is drawn with all its points. With fewer than 10 runs the
    interval is too narrow, since the bootstrap knows only the runs seen.
    """
    values = np.concatenate(strata, axis=-1)
    drawn = [
        statistic(np.moveaxis(values[..., indices], -2, 0))
        for indices in _resamples(strata, values.size, num_resamples)
    ]
    return percentiles(np.concatenate(drawn), confidence)


def percentiles(resampled: np.ndarray, confidence: float) -> Interval:
    """The middle part `confidence` of resampled values: [resamples, ...] to ends [...]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return Interval(low, high)


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> float:
    """P(X > Y) + P(X = Y)/2 for a run X of `scores` [runs] and a run Y of `others` [runs].

    The Mann-Whitney statistic divided by the number of pairs (AGARWAL).
    """
    return float(_wins(scores, others).mean())


def improvement_interval(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """The interval of the probability of improvement, averaged over environments.

    `pairs` are (scores [runs], others [runs]), one per environment; both are resampled, each within
    its environment.
    """
    generator = np.random.default_rng(SEED)
    per_environment = []
    for scores, others in pairs:
        # The number of times that each run was drawn is enough to count the pairs that were won.
        first = generator.multinomial(
            len(scores), np.full(len(scores), 1 / len(scores)), num_resamples
        )
        second = generator.multinomial(
            len(others), np.full(len(others), 1 / len(others)), num_resamples
        )
        won = np.sum((first @ _wins(scores, others)) * second, axis=-1)
        per_environment.append(won / (len(scores) * len(others)))
    return percentiles(np.mean(per_environment, axis=0), confidence)


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The fraction of runs whose score is above τ (AGARWAL's run-score distribution).

    scores [..., runs] and thresholds [points] to [..., points].
    """
    return np.mean(scores[..., None, :] > thresholds[:, None], axis=-1)


def _wins(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1 where a run beats another, ½ where they tie: [runs, other runs]."""
    return np.greater.outer(scores, others) + 0.5 * np.equal.outer(scores, others)


def _resamples(strata: Sequence[np.ndarray], size: int, num_resamples: int) -> Iterator[np.ndarray]:
    """Indices [resamples, runs] into the concatenated strata, in chunks that fit in memory.

    Each run is replaced by one of its own stratum.
    """
    generator = np.random.default_rng(SEED)
    lengths = [stratum.shape[-1] for stratum in strata]
    offsets = np.cumsum([0, *lengths[:-1]])
    chunk = max(1, MAX_CHUNK_SIZE // max(size, 1))
    for start in range(0, num_resamples, chunk):
        count = min(chunk, num_resamples - start)
        drawn = [
            offset + generator.integers(0, length, (count, length))
            for offset, length in zip(offsets, lengths, strict=True)
        ]
        yield np.concatenate(drawn, axis=-1)
