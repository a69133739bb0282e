"""Summaries of groups of runs, in one environment and over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mbrl.analysis.records import Record
from mbrl.analysis.statistics import (
    Interval,
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    probability_of_improvement,
)


@dataclass(frozen=True, eq=False)
class Run:
    """A run, its evaluations in the order of their steps, and its group."""

    record: Record
    label: str
    values: tuple[str, ...]  # of the settings that distinguish the groups
    steps: np.ndarray  # [evaluations], real steps
    seconds: np.ndarray  # [evaluations], since the run started
    returns: np.ndarray  # [evaluations], means over episodes; NaN where not finite

    @property
    def is_completed(self) -> bool:
        return self.record.status == "completed"

    @property
    def final_return(self) -> float:
        """The last evaluation's return; NaN if there is none or it is not finite."""
        return float(self.returns[-1]) if self.returns.size else float("nan")

    def reached(self, threshold: float | None) -> tuple[float, float]:
        """Real steps and seconds at the first evaluation with at least this return.

        Infinite if there is none, NaN without a threshold.
        """
        if threshold is None:
            return float("nan"), float("nan")
        indices = np.flatnonzero(self.returns >= threshold)
        if not indices.size:
            return float("inf"), float("inf")
        return float(self.steps[indices[0]]), float(self.seconds[indices[0]])


@dataclass(frozen=True)
class GroupSummary:
    """A group in one environment, or its normalised scores in all environments."""

    label: str
    runs: tuple[Run, ...]  # all runs of the group
    scores: tuple[np.ndarray, ...]  # final returns of its completed runs [runs], per environment
    mean: float
    interquartile_mean: float
    interval: Interval | None  # of the interquartile mean; None for fewer than two runs
    improvement: float | None  # probability of improvement over the first group; None for itself
    improvement_interval: Interval | None


@dataclass(frozen=True)
class Section:
    """The groups in one environment; `environment` is empty for all environments, normalised."""

    environment: str
    groups: tuple[GroupSummary, ...]
    threshold: float | None = None  # return
    solved_score: float | None = None  # return
    random_score: float | None = None  # return

    def normalise(self, scores: np.ndarray) -> np.ndarray:
        """Scale returns: 0 is that of random actions, 1 the one that counts as solved.

        NaN where these are unknown or equal.
        """
        low, high = self.random_score, self.solved_score
        if low is None or high is None or low == high:
            return np.full_like(scores, np.nan)
        return (scores - low) / (high - low)


class _Group(NamedTuple):
    """A group to be summarised."""

    label: str
    runs: tuple[Run, ...]
    scores: tuple[np.ndarray, ...]  # [runs], per environment


def summarise_environment(
    environment: str,
    runs: Sequence[Run],
    labels: Sequence[str],
    threshold: float | None,
    confidence: float,
) -> Section:
    """Summarise the groups with these labels that have runs in one environment."""
    here = [run for run in runs if run.record.environment == environment]
    solved_score = _last_known([run.record.solved_score for run in here])
    groups = []
    for label in labels:
        members = tuple(run for run in here if run.label == label)
        if members:
            scores = np.array([run.final_return for run in members if run.is_completed], float)
            groups.append(_Group(label, members, (scores[np.isfinite(scores)],)))
    return Section(
        environment=environment,
        groups=_summaries(groups, confidence),
        threshold=solved_score if threshold is None else threshold,
        solved_score=solved_score,
        random_score=_last_known([run.record.random_score for run in here]),
    )


def _last_known(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _summaries(groups: Sequence[_Group], confidence: float) -> tuple[GroupSummary, ...]:
    first = groups[0].scores
    summaries = []
    for index, entry in enumerate(groups):
        scores = entry.scores
        pooled = np.concatenate(scores)
        pairs = list(zip(scores, first, strict=True)) if index > 0 else []
        several = all(stratum.size > 1 for stratum in scores)
        several_pairs = several and all(theirs.size > 1 for _, theirs in pairs)
        improvement: float | None = None
        chance_interval: Interval | None = None
        if pairs and all(ours.size and theirs.size for ours, theirs in pairs):
            improvement = float(np.mean([probability_of_improvement(*pair) for pair in pairs]))
            chance_interval = improvement_interval(pairs, confidence) if several_pairs else None
        summary = GroupSummary(
            label=entry.label,
            runs=entry.runs,
            scores=scores,
            mean=float(np.mean(pooled)) if pooled.size else float("nan"),
            interquartile_mean=float(interquartile_mean(pooled)) if pooled.size else float("nan"),
            interval=bootstrap_interval(scores, confidence=confidence) if several else None,
            improvement=improvement,
            improvement_interval=chance_interval,
        )
        summaries.append(summary)
    return tuple(summaries)


def aggregate(
    sections: Sequence[Section], labels: Sequence[str], confidence: float
) -> tuple[Section | None, str]:
    """The groups over all environments; or None, and why they cannot be aggregated."""
    if len(sections) < 2:
        return None, ""
    obstacle = _aggregation_obstacle(sections, labels)
    if obstacle:
        return None, f"No aggregate over environments: {obstacle}."
    by_label = [{summary.label: summary for summary in section.groups} for section in sections]
    groups = []
    for label in labels:
        summaries = [summary_of[label] for summary_of in by_label]
        runs = tuple(run for summary in summaries for run in summary.runs)
        scores = tuple(
            section.normalise(summary.scores[0])
            for section, summary in zip(sections, summaries, strict=True)
        )
        groups.append(_Group(label, runs, scores))
    return Section("", _summaries(groups, confidence)), ""


def _aggregation_obstacle(sections: Sequence[Section], labels: Sequence[str]) -> str:
    """Why groups cannot be aggregated over environments; empty if they can."""
    for section in sections:
        scored = [summary.label for summary in section.groups if summary.scores[0].size]
        missing = [label for label in labels if label not in scored]
        name = section.environment
        if missing:
            return f"{missing[0]} has no completed run with a score in {name}"
        for setting in ("random_score", "solved_score"):
            if getattr(section, setting) is None:
                return f"{name} has no env.{setting}, which normalises returns, in its config.yaml"
        if section.random_score == section.solved_score:
            return f"{name} has the same env.random_score and env.solved_score"
    # AGARWAL's scores are equally many in each environment. Otherwise an environment would be
    # weighted by its number of runs.
    for label in labels:
        counts = {
            section.environment: summary.scores[0].size
            for section in sections
            for summary in section.groups
            if summary.label == label
        }
        if len(set(counts.values())) > 1:
            listed = " and ".join(f"{count} in {name}" for name, count in counts.items())
            return (
                f"{label} has unequal numbers of completed runs, {listed}, which would weight the "
                "environments"
            )
    return ""
