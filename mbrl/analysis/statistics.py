"""What a few runs tell: means that no outlier decides, and how far the next seeds might move them.

After Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (here: AGARWAL). Scores are
those of independent runs, one each; a stratum holds the runs of one environment. Pure: the same scores give the same numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

NUM_RESAMPLES = 2000  # of numbers: an end of a 95 % interval then stands at the 50th lowest and the 50th highest
NUM_RESAMPLES_OF_CURVES = 500  # of bands, whose ends no reader reads off to the digit
SEED = 20211  # of the resampling, so that the same runs always give the same interval
LARGEST = 4_000_000  # numbers that are resampled at once, some 30 MB

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

    The lowest and the highest ⌊runs/4⌋ are left out, so that of fewer than 4 runs it is the mean (AGARWAL).
    """
    # scipy.stats.trim_mean(scores, 0.25), whose import alone would take longer than most comparisons.
    number = scores.shape[-1]
    cut = number // 4
    middle = np.partition(scores, (cut, number - cut - 1), axis=-1)[..., cut : number - cut]
    return np.asarray(np.mean(middle, axis=-1))


def bootstrap_interval(
    strata: Sequence[np.ndarray],
    statistic: Statistic = interquartile_mean,
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """The percentile interval of a statistic under the stratified bootstrap (AGARWAL).

    `strata` are arrays [runs] or [points, runs], one an environment; within each, as many runs as it has are drawn with
    replacement, and the statistic takes all that were drawn together, [..., runs], to [...]. For [points, runs], a run is
    drawn with all its points. Of fewer than 10 runs the interval is too narrow, since it knows no others than those seen.
    """
    values = np.concatenate(strata, axis=-1)
    drawn = [
        statistic(np.moveaxis(values[..., indices], -2, 0))
        for indices in _resamples(strata, values.size, num_resamples)
    ]
    return percentiles(np.concatenate(drawn), confidence)


def percentiles(resampled: np.ndarray, confidence: float) -> Interval:
    """The middle `confidence` of what the resamples gave, [resamples, ...] to ends [...]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return Interval(low, high)


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> float:
    """P(X > Y) + P(X = Y)/2 for a run X of `scores` [runs] and one Y of `others` [runs].

    The Mann–Whitney statistic divided by the number of pairs (AGARWAL).
    """
    return float(_wins(scores, others).mean())


def improvement_interval(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """The interval of the probability of improvement, in the mean over environments.

    `pairs` are (scores [runs], others [runs]), one an environment; both are resampled, each within its environment.
    """
    generator = np.random.default_rng(SEED)
    per_environment = []
    for scores, others in pairs:
        # How often each run was drawn says all of a resample: then a resample's pairs need not be listed.
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
    """The share of runs whose score is above τ (AGARWAL's run-score distribution): scores [..., runs], thresholds [points] to
    [..., points].
    """
    return np.mean(scores[..., None, :] > thresholds[:, None], axis=-1)


def _wins(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1 where a run beats another, ½ where they tie: [runs, other runs]."""
    return np.greater.outer(scores, others) + 0.5 * np.equal.outer(scores, others)


def _resamples(strata: Sequence[np.ndarray], size: int, num_resamples: int) -> Iterator[np.ndarray]:
    """Indices [resamples, runs] into the strata laid side by side, never across them; as many at a time as fit in memory."""
    generator = np.random.default_rng(SEED)
    lengths = [stratum.shape[-1] for stratum in strata]
    starts = np.cumsum([0, *lengths[:-1]])
    max_parallel_jobs = max(1, LARGEST // max(size, 1))
    for begun in range(0, num_resamples, max_parallel_jobs):
        number = min(max_parallel_jobs, num_resamples - begun)
        drawn = [
            start + generator.integers(0, length, (number, length))
            for start, length in zip(starts, lengths, strict=True)
        ]
        yield np.concatenate(drawn, axis=-1)
