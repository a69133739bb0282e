"""Comparing runs: group them by config and summarise each group, one environment at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mbrl.analysis.grouping import Grouping, group, short_labels
from mbrl.analysis.records import (
    READ_ERRORS,
    Record,
    UnreadableRun,
    as_unreadable,
    find_runs,
    parse_number,
    read_records,
)
from mbrl.analysis.statistics import (
    Interval,
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    probability_of_improvement,
)
from mbrl.errors import CorruptRun
from mbrl.runs.reader import read_metrics

COPIES = ("reproductions", "comparisons")  # folders in outputs whose runs are not further runs
MAX_LABEL_LENGTH = 100  # characters that fit into a legend as wide as the figure


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


@dataclass(frozen=True)
class Comparison:
    """The content of the table, the figure and the page."""

    runs: tuple[Run, ...]
    unreadable: tuple[UnreadableRun, ...]
    left_out: Mapping[Path, int]  # folders of copies, with their numbers of runs
    grouping: Grouping
    labels: tuple[str, ...]  # of the groups, in order; the others are compared with the first
    short_labels: tuple[str, ...]  # of the same groups, for a legend
    sections: tuple[Section, ...]
    aggregate: Section | None
    why_no_aggregate: str  # a sentence; empty if there is one, or only one environment
    confidence: float


def compare(
    paths: Sequence[Path],
    by: Sequence[str] = (),
    threshold: float | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare the runs at or below `paths`; groups are in the order of their first runs.

    `by` names choices or settings to group by, by default all that differ. `threshold` is a return
    to be reached, by default each environment's solved_score. `confidence` is that of the
    intervals. Runs in folders named as in COPIES, directly below a path, are left out unless a path
    names the folder. Raises ValueError if no run has what `by` names.
    """
    folders, copies = find_runs(paths, COPIES)
    records, unreadable = read_records(folders)
    grouping = group(records, by)
    runs: list[Run] = []
    for record, label, values in zip(records, grouping.labels, grouping.values, strict=True):
        try:
            runs.append(Run(record, label, values, *_evaluations(record)))
        except READ_ERRORS as error:
            unreadable.append(as_unreadable(error, record.folder))
    new_labels, short = _final_labels(runs, grouping.names)
    runs = [replace(run, label=new_labels[run.label]) for run in runs]
    labels = tuple(new_labels.values())
    environments = dict.fromkeys(run.record.environment for run in runs)
    sections = tuple(
        _section(environment, runs, labels, threshold, confidence) for environment in environments
    )
    aggregate, why_no_aggregate = _aggregate(sections, labels, confidence)
    return Comparison(
        runs=tuple(runs),
        unreadable=tuple(unreadable),
        left_out=_count_left_out(paths, copies),
        grouping=grouping,
        labels=labels,
        short_labels=short,
        sections=sections,
        aggregate=aggregate,
        why_no_aggregate=why_no_aggregate,
        confidence=confidence,
    )


def _final_labels(
    runs: Sequence[Run], names: Sequence[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Map each label to its final form, and give the groups' short labels.

    Both are numbered if the short labels are not unique or too long for a legend.
    """
    values = {run.label: run.values for run in reversed(runs)}
    labels = list(dict.fromkeys(run.label for run in runs))
    short = short_labels(names, [values[label] for label in labels])
    if len(set(short)) == len(short) and all(len(text) <= MAX_LABEL_LENGTH for text in short):
        return {label: label for label in labels}, tuple(short)
    numbered = [f"{number} {text}" for number, text in enumerate(short, start=1)]
    cut = tuple(
        text if len(text) <= MAX_LABEL_LENGTH else f"{text[: MAX_LABEL_LENGTH - 1].rstrip(', ')}…"
        for text in numbered
    )
    return {label: f"{number} {label}" for number, label in enumerate(labels, start=1)}, cut


def _count_left_out(paths: Sequence[Path], copies: Sequence[Path]) -> dict[Path, int]:
    folders = [path / name for path in paths for name in COPIES]
    counts = {folder: sum(copy.is_relative_to(folder) for copy in copies) for folder in folders}
    return {folder: count for folder, count in counts.items() if count}


def _evaluations(record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, seconds and returns of a run's evaluations."""
    rows = []
    if record.status != "never started":
        rows = read_metrics(record.folder, having="evaluation/return_mean")
    steps, seconds = (
        np.array([_required(row, name) for row in rows], float)
        for name in ("env_steps", "wall_seconds")
    )
    name = "evaluation/return_mean"
    returns = [parse_number(row[name], name) for row in rows]
    if np.any(np.diff(steps) < 0):
        raise CorruptRun(
            f"{record.folder / 'metrics.jsonl'} has evaluations that are not in the order of "
            "their env_steps."
        )
    finite_or_nan = [np.nan if value is None else value for value in returns]
    return steps, seconds, np.array(finite_or_nan, float)


def _required(row: Mapping[str, Any], name: str) -> float:
    value = parse_number(row.get(name), name)
    if value is None:
        raise CorruptRun(f"metrics.jsonl has an evaluation without {name}, which every row has.")
    return value


class _Group(NamedTuple):
    """A group to be summarised."""

    label: str
    runs: tuple[Run, ...]
    scores: tuple[np.ndarray, ...]  # [runs], per environment


def _section(
    environment: str,
    runs: Sequence[Run],
    labels: Sequence[str],
    threshold: float | None,
    confidence: float,
) -> Section:
    here = [run for run in runs if run.record.environment == environment]
    solved_score = _last_known([run.record.solved_score for run in here])
    groups = []
    for label in labels:
        members = tuple(run for run in here if run.label == label)
        if members:
            groups.append(_Group(label, members, (_final_returns(members),)))
    return Section(
        environment=environment,
        groups=_summaries(groups, confidence),
        threshold=solved_score if threshold is None else threshold,
        solved_score=solved_score,
        random_score=_last_known([run.record.random_score for run in here]),
    )


def _last_known(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _final_returns(runs: Sequence[Run]) -> np.ndarray:
    scores = np.array([run.final_return for run in runs if run.is_completed], float)
    return scores[np.isfinite(scores)]


def _summaries(groups: Sequence[_Group], confidence: float) -> tuple[GroupSummary, ...]:
    first = groups[0].scores
    return tuple(
        _summarise(entry, None if index == 0 else first, confidence)
        for index, entry in enumerate(groups)
    )


def _summarise(
    entry: _Group, first: tuple[np.ndarray, ...] | None, confidence: float
) -> GroupSummary:
    scores = entry.scores
    pooled = np.concatenate(scores)
    pairs = [] if first is None else list(zip(scores, first, strict=True))
    several = all(stratum.size > 1 for stratum in scores)
    several_pairs = several and all(theirs.size > 1 for _, theirs in pairs)
    improvement: float | None = None
    chance_interval: Interval | None = None
    if pairs and all(ours.size and theirs.size for ours, theirs in pairs):
        improvement = float(np.mean([probability_of_improvement(*pair) for pair in pairs]))
        chance_interval = improvement_interval(pairs, confidence) if several_pairs else None
    return GroupSummary(
        label=entry.label,
        runs=entry.runs,
        scores=scores,
        mean=float(np.mean(pooled)) if pooled.size else float("nan"),
        interquartile_mean=float(interquartile_mean(pooled)) if pooled.size else float("nan"),
        interval=bootstrap_interval(scores, confidence=confidence) if several else None,
        improvement=improvement,
        improvement_interval=chance_interval,
    )


def _aggregate(
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
            _normalise(section, summary.scores[0])
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


def _normalise(section: Section, scores: np.ndarray) -> np.ndarray:
    """0 is the return of random actions, 1 the return that counts as solved."""
    assert section.random_score is not None
    assert section.solved_score is not None
    return (scores - section.random_score) / (section.solved_score - section.random_score)
