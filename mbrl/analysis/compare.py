"""Runs beside each other: grouped by what differs in their configs, an environment at a time, and what is known of each group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mbrl.analysis.grouping import Grouping, group, short_labels
from mbrl.analysis.records import (
    DAMAGE,
    Record,
    UnreadableRun,
    damaged_by,
    found_runs,
    number,
    read_records,
)
from mbrl.analysis.statistics import (
    Interval,
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    probability_of_improvement,
)
from mbrl.runs.reader import CorruptRun, read_metrics

COPIES = ("reproductions", "comparisons")  # in outputs: what is there are no further runs
LONGEST = 100  # characters of a label that a legend as wide as the figure can show


@dataclass(frozen=True, eq=False)
class Run:
    """A run, its evaluations in the order of their steps, and its group."""

    record: Record
    label: str
    values: tuple[str, ...]  # of what tells the groups apart
    steps: np.ndarray  # [evaluations], real ones
    seconds: np.ndarray  # [evaluations], since the run began
    returns: np.ndarray  # [evaluations], means over episodes; NaN where one was not finite

    @property
    def is_completed(self) -> bool:
        return self.record.status == "completed"

    @property
    def final_return(self) -> float:
        """The last evaluation's; NaN where there was none, or it was not finite."""
        return float(self.returns[-1]) if self.returns.size else float("nan")

    def reached(self, threshold: float | None) -> tuple[float, float]:
        """Real steps and seconds at the first evaluation with this return; infinite where there was none, NaN without a threshold."""
        if threshold is None:
            return float("nan"), float("nan")
        at = np.flatnonzero(self.returns >= threshold)
        return (
            (float(self.steps[at[0]]), float(self.seconds[at[0]]))
            if at.size
            else (float("inf"), float("inf"))
        )


@dataclass(frozen=True)
class GroupSummary:
    """What is known of a group in one environment, or of its normalised scores in all."""

    label: str
    runs: tuple[Run, ...]  # all of the group
    scores: tuple[
        np.ndarray, ...
    ]  # final returns of the completed ones [runs], one array an environment
    mean: float
    interquartile_mean: float
    interval: Interval | None  # of the interquartile mean; None for fewer than two runs
    improvement: float | None  # probability of it over the first group; None for the first itself
    improvement_interval: Interval | None


@dataclass(frozen=True)
class Section:
    """The groups in one environment; `environment` is empty for all together, by normalised scores."""

    environment: str
    groups: tuple[GroupSummary, ...]
    threshold: float | None = None  # return
    solved_score: float | None = None  # return
    random_score: float | None = None  # return


@dataclass(frozen=True)
class Comparison:
    """All that the table, the figure and the page say."""

    runs: tuple[Run, ...]
    damaged: tuple[UnreadableRun, ...]
    left_out: Mapping[Path, int]  # folders of copies, and how many runs are in each
    grouping: Grouping
    labels: tuple[
        str, ...
    ]  # of the groups, in order; the first is what the others are held against
    short_labels: tuple[str, ...]  # of the same groups, to stand in a legend
    sections: tuple[Section, ...]
    aggregate: Section | None
    why_no_aggregate: str  # a sentence; empty where there is one, or but one environment
    confidence: float


def compare(
    paths: Sequence[Path],
    by: Sequence[str] = (),
    threshold: float | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compares the runs at or below `paths`; groups come in the order in which their first runs are found.

    `by` names what to group by, and else that is found out; `threshold` is the return to be reached, by default each
    environment's solved_score; `confidence` is of the intervals. Runs in a path's folder called one of COPIES are left out, but
    where that is named. Raises ValueError for a `by` that no run has.
    """
    folders, copies = found_runs(paths, COPIES)
    records, damaged = read_records(folders)
    grouping = group(records, by)
    runs: list[Run] = []
    for record, label, values in zip(records, grouping.labels, grouping.values, strict=True):
        try:
            runs.append(Run(record, label, values, *_evaluations(record)))
        except DAMAGE as reason:
            damaged.append(damaged_by(reason, record.folder))
    labels, short = _labels(runs, grouping.names)
    runs = [replace(run, label=labels[run.label]) for run in runs]
    environments = dict.fromkeys(run.record.environment for run in runs)
    sections = tuple(
        _section(each, runs, tuple(labels.values()), threshold, confidence) for each in environments
    )
    aggregate, why_not = _aggregate(sections, tuple(labels.values()), confidence)
    return Comparison(
        tuple(runs),
        tuple(damaged),
        _left_out(paths, copies),
        grouping,
        tuple(labels.values()),
        short,
        sections,
        aggregate,
        why_not,
        confidence,
    )


def _labels(runs: Sequence[Run], names: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """How each label is said, and in a legend; with numbers in both where a legend cannot say it all."""
    values = {run.label: run.values for run in reversed(runs)}
    labels = list(dict.fromkeys(run.label for run in runs))
    short = short_labels(names, [values[label] for label in labels])
    if len(set(short)) == len(short) and all(len(text) <= LONGEST for text in short):
        return {label: label for label in labels}, tuple(short)
    numbered = [f"{number} {text}" for number, text in enumerate(short, start=1)]
    cut = tuple(
        text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip(', ')}…"
        for text in numbered
    )
    return {label: f"{number} {label}" for number, label in enumerate(labels, start=1)}, cut


def _left_out(paths: Sequence[Path], copies: Sequence[Path]) -> dict[Path, int]:
    folders = [path / name for path in paths for name in COPIES]
    return {
        folder: number
        for folder in folders
        if (number := sum(each.is_relative_to(folder) for each in copies))
    }


def _evaluations(record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = (
        read_metrics(record.folder, having="evaluation/return_mean")
        if record.status != "never started"
        else []
    )
    steps, seconds = (
        np.array([_present(row, name) for row in rows], float)
        for name in ("env_steps", "wall_seconds")
    )
    returns = [number(row["evaluation/return_mean"], "evaluation/return_mean") for row in rows]
    if np.any(np.diff(steps) < 0):
        raise CorruptRun(
            f"{record.folder / 'metrics.jsonl'} has evaluations that are not in the order of their env_steps."
        )
    return steps, seconds, np.array([np.nan if each is None else each for each in returns], float)


def _present(row: Mapping[str, Any], name: str) -> float:
    value = number(row.get(name), name)
    if value is None:
        raise CorruptRun(f"metrics.jsonl has an evaluation without {name}, which each row has.")
    return value


def _section(
    environment: str,
    runs: Sequence[Run],
    labels: Sequence[str],
    threshold: float | None,
    confidence: float,
) -> Section:
    here = [run for run in runs if run.record.environment == environment]
    solved = _latest([run.record.solved_score for run in here])
    grouped = [(label, tuple(run for run in here if run.label == label)) for label in labels]
    parts = [(label, members, (_final_returns(members),)) for label, members in grouped if members]
    return Section(
        environment=environment,
        groups=_figures(parts, confidence),
        threshold=solved if threshold is None else threshold,
        solved_score=solved,
        random_score=_latest([run.record.random_score for run in here]),
    )


def _latest(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _final_returns(runs: Sequence[Run]) -> np.ndarray:
    scores = np.array([run.final_return for run in runs if run.is_completed], float)
    return scores[np.isfinite(scores)]


Part = tuple[str, tuple[Run, ...], tuple[np.ndarray, ...]]


def _figures(parts: Sequence[Part], confidence: float) -> tuple[GroupSummary, ...]:
    first = parts[0][2]
    return tuple(
        _figures_of(part, None if index == 0 else first, confidence)
        for index, part in enumerate(parts)
    )


def _figures_of(
    part: Part, first: tuple[np.ndarray, ...] | None, confidence: float
) -> GroupSummary:
    label, runs, scores = part
    together = np.concatenate(scores)
    pairs = [] if first is None else list(zip(scores, first, strict=True))
    comparable = bool(pairs) and all(one.size and other.size for one, other in pairs)
    several = all(len(each) > 1 for each in scores)
    return GroupSummary(
        label=label,
        runs=runs,
        scores=scores,
        mean=float(np.mean(together)) if together.size else float("nan"),
        interquartile_mean=float(interquartile_mean(together)) if together.size else float("nan"),
        interval=bootstrap_interval(scores, confidence=confidence) if several else None,
        improvement=float(np.mean([probability_of_improvement(*pair) for pair in pairs]))
        if comparable
        else None,
        improvement_interval=improvement_interval(pairs, confidence)
        if comparable and several and all(len(other) > 1 for _, other in pairs)
        else None,
    )


def _aggregate(
    sections: Sequence[Section], labels: Sequence[str], confidence: float
) -> tuple[Section | None, str]:
    """The groups in all environments together, or why they cannot be taken together."""
    if len(sections) < 2:
        return None, ""
    why_not = _why_not(sections, labels)
    if why_not:
        return None, f"No aggregate over environments: {why_not}."
    found = [{figures.label: figures for figures in section.groups} for section in sections]
    parts: list[Part] = []
    for label in labels:
        scores = tuple(
            _normalised(section, each[label].scores[0])
            for section, each in zip(sections, found, strict=True)
        )
        parts.append((label, tuple(run for each in found for run in each[label].runs), scores))
    return Section("", _figures(parts, confidence)), ""


def _why_not(sections: Sequence[Section], labels: Sequence[str]) -> str:
    for section in sections:
        scored = [figures.label for figures in section.groups if figures.scores[0].size]
        missing = [label for label in labels if label not in scored]
        if missing:
            return f"{missing[0]} has no completed run with a score in {section.environment}"
        for name, value in (
            ("env.random_score", section.random_score),
            ("env.solved_score", section.solved_score),
        ):
            if value is None:
                return f"{section.environment} has no {name} in its runs' config.yaml, by which returns are normalised"
        if section.random_score == section.solved_score:
            return f"{section.environment} has the same env.random_score and env.solved_score"
    for (
        label
    ) in labels:  # AGARWAL's scores are as many in each: else an environment counts by its runs
        counts = {
            s.environment: figures.scores[0].size
            for s in sections
            for figures in s.groups
            if figures.label == label
        }
        if len(set(counts.values())) > 1:
            said = " and ".join(
                f"{count} in {environment}" for environment, count in counts.items()
            )
            return f"{label} has unequal numbers of completed runs, {said}, by which environments would be weighted"
    return ""


def _normalised(section: Section, scores: np.ndarray) -> np.ndarray:
    """0 is what random actions earn, 1 what counts as solved."""
    assert section.random_score is not None
    assert section.solved_score is not None
    return (scores - section.random_score) / (section.solved_score - section.random_score)
