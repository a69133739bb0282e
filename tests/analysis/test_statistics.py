"""Statistics against known cases, slow plain-Python versions, and simulation of the intervals."""

import random
from statistics import fmean

import numpy as np
import pytest
from scipy.stats import trim_mean

from mbrl.analysis.statistics import (
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    mean,
    performance_profile,
    probability_of_improvement,
)

GENERATOR = np.random.default_rng(0)
SCORES = np.round(GENERATOR.normal(size=11), 1)  # rounded, so that some tie
OTHERS = np.round(GENERATOR.normal(size=7), 1)


def slow_interquartile_mean(scores):
    cut = len(scores) // 4
    return fmean(sorted(scores)[cut : len(scores) - cut])


def slow_probability(scores, others):
    return fmean(
        1.0 if one > other else 0.5 if one == other else 0.0 for one in scores for other in others
    )


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (range(1, 9), 4.5),
        ([1, 2, 3, 100], 2.5),
        ([1, 2, 9], 4.0),
        ([7], 7.0),
        ([-1000, 1, 2, 3, 4, 5, 6, 1000], 3.5),
    ],
)
def test_the_interquartile_mean_of_known_cases(scores, expected):
    assert interquartile_mean(np.array(scores, float)) == pytest.approx(expected)


@pytest.mark.parametrize("number", range(1, 12))
def test_the_interquartile_mean_equals_its_slow_version(number):
    assert interquartile_mean(SCORES[:number]) == pytest.approx(
        slow_interquartile_mean(SCORES[:number].tolist())
    )
    assert interquartile_mean(SCORES[:number]) == pytest.approx(trim_mean(SCORES[:number], 0.25))
    both = np.stack([SCORES[:number], -SCORES[:number]])
    assert interquartile_mean(both) == pytest.approx(
        [slow_interquartile_mean(row) for row in both.tolist()]
    )


def test_the_probability_of_improvement_of_known_cases():
    assert probability_of_improvement(np.full(4, 3.0), np.full(3, 3.0)) == 0.5
    assert probability_of_improvement(np.array([4.0, 5.0]), np.array([1.0, 3.0])) == 1.0
    assert probability_of_improvement(np.array([1.0]), np.array([2.0, 3.0])) == 0.0
    assert probability_of_improvement(np.array([1.0, 2.0]), np.array([1.0])) == 0.75


def test_the_probability_of_improvement_equals_its_slow_version():
    assert probability_of_improvement(SCORES, OTHERS) == pytest.approx(
        slow_probability(SCORES, OTHERS)
    )
    assert probability_of_improvement(OTHERS, SCORES) == pytest.approx(
        1 - slow_probability(SCORES, OTHERS)
    )


def test_a_profile_is_the_fraction_of_runs_above_a_threshold():
    scores = np.array([1.0, 2.0, 2.0, 5.0])
    assert performance_profile(scores, np.array([0.0, 1.0, 2.0, 4.9, 5.0])).tolist() == [
        1.0,
        0.75,
        0.25,
        0.25,
        0.0,
    ]
    assert performance_profile(np.stack([scores, scores + 1]), np.array([2.0])).tolist() == [
        [0.25],
        [0.75],
    ]


def test_an_interval_equals_that_of_its_slow_version():
    draws = random.Random(0)
    resampled = sorted(
        slow_interquartile_mean(draws.choices(SCORES.tolist(), k=len(SCORES)))
        for _ in range(20_000)
    )
    found = bootstrap_interval([SCORES], num_resamples=20_000)
    # The standard error of an end at 20 000 draws is about 1 % of these scores' spread.
    assert [found.low, found.high] == pytest.approx([resampled[500], resampled[19_500]], abs=0.05)


def test_the_interval_of_an_improvement_equals_that_of_its_slow_version():
    draws = random.Random(0)
    one, other = SCORES.tolist(), OTHERS.tolist()
    resampled = sorted(
        slow_probability(draws.choices(one, k=11), draws.choices(other, k=7)) for _ in range(5000)
    )
    found = improvement_interval([(SCORES, OTHERS)], num_resamples=20_000)
    assert [found.low, found.high] == pytest.approx([resampled[125], resampled[4875]], abs=0.03)


def test_intervals_cover_the_true_value_about_as_often_as_their_confidence():
    # Percentile intervals of 20 runs cover 91 to 95 %. With 400 samples, the standard error of the
    # fraction is 1.3 %.
    samples = np.random.default_rng(1).normal(size=(400, 20))
    for statistic in (mean, interquartile_mean):
        intervals = [
            bootstrap_interval([sample], statistic, num_resamples=500) for sample in samples
        ]
        assert 0.87 < np.mean([low < 0 < high for low, high in intervals]) < 0.98
    halves = [
        bootstrap_interval([sample], mean, confidence=0.5, num_resamples=500) for sample in samples
    ]
    assert 0.42 < np.mean([low < 0 < high for low, high in halves]) < 0.57


def test_resampling_stays_within_strata():
    # Resampling across strata would change the mean by about 100, within strata not at all.
    strata = [np.full(5, 0.0), np.full(5, 1000.0)]
    assert bootstrap_interval(strata, mean) == (500.0, 500.0)
    assert bootstrap_interval([np.concatenate(strata)], mean).high > 600
    assert improvement_interval(
        [(np.full(3, 2.0), np.full(4, 1.0)), (np.full(3, 1.0), np.full(4, 2.0))]
    ) == (0.5, 0.5)


def test_strata_keep_their_sizes():
    # In every resample, 3 of the 4 scores are 1.
    assert bootstrap_interval([np.ones(3), np.zeros(1)], mean) == (0.75, 0.75)


def test_a_run_is_drawn_with_all_its_points():
    # If each run is constant over points, so is every resample: both ends are equal everywhere.
    runs = np.tile(SCORES, (3, 1))
    low, high = bootstrap_interval([runs])
    assert low.tolist() == [low[0]] * 3
    assert high.tolist() == [high[0]] * 3
    assert bootstrap_interval([SCORES]) == pytest.approx((low[0], high[0]))


def test_an_interval_is_deterministic_and_can_be_computed_in_chunks(monkeypatch):
    whole = bootstrap_interval([SCORES, OTHERS])
    assert bootstrap_interval([SCORES, OTHERS]) == whole
    monkeypatch.setattr("mbrl.analysis.statistics.MAX_CHUNK_SIZE", 100)
    in_chunks = bootstrap_interval([SCORES, OTHERS])
    assert in_chunks == pytest.approx(whole, abs=0.1)
