"""What the study keeps of each trial, so that whoever goes on with it launches only what is missing."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from optuna.trial import BaseTrial, Trial

# Keys of a trial's user attributes. JSON has text for keys, so that seeds are text there.
JOBS = "jobs"  # seed → the number of its job in the sweep, kept before the job is launched
SCORES = "scores"  # seed → the mean evaluation return of its job
OVERRIDES = "overrides"  # the trial's command line, its seeds apart
FAILURE = "failure"  # why it failed, in one sentence


def jobs(trial: BaseTrial) -> dict[int, int]:
    """The number of each job that the trial was given, by seed."""
    return _by_seed(trial, JOBS)


def scores(trial: BaseTrial) -> dict[int, float]:
    """The score of each job that was completed, by seed."""
    return _by_seed(trial, SCORES)


def failure(trial: BaseTrial) -> str | None:
    return trial.user_attrs.get(FAILURE)


def mean_score(trial: BaseTrial, seeds: Sequence[int]) -> float:
    """The trial's mean over these seeds, all of which it has run."""
    known = scores(trial)
    return fmean(known[seed] for seed in seeds)


def set_job(trial: Trial, seed: int, number: int) -> None:
    _keep(trial, JOBS, jobs(trial) | {seed: number})


def set_score(trial: Trial, seed: int, score: float) -> None:
    _keep(trial, SCORES, scores(trial) | {seed: score})


def set_failure(trial: Trial, seed: int, reason: str) -> None:
    """The first failure counts: it may be the cause of others."""
    if failure(trial) is None:
        trial.set_user_attr(FAILURE, f"seed {seed} (job {jobs(trial)[seed]}): {reason}")


def _by_seed(trial: BaseTrial, key: str) -> dict[int, Any]:
    return {int(seed): value for seed, value in trial.user_attrs.get(key, {}).items()}


def _keep(trial: Trial, key: str, values: Mapping[int, Any]) -> None:
    trial.set_user_attr(key, {str(seed): value for seed, value in values.items()})
