"""Comparing runs: group them by config and summarise each group, one environment at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mbrl.analysis.grouping import Grouping, group, short_labels
from mbrl.analysis.records import (
    READ_ERRORS,
    Record,
    UnreadableRun,
    as_unreadable,
    find_runs,
    read_records,
)
from mbrl.analysis.summary import Run, Section, aggregate, summarise_environment
from mbrl.errors import ConfigError, CorruptRun
from mbrl.runs.reader import read_metrics

COPIES = ("reproductions", "comparisons")  # folders in outputs whose runs are not further runs
MAX_LABEL_LENGTH = 100  # characters that fit into a legend as wide as the figure


@dataclass(frozen=True)
class GroupedRuns:
    """Runs at or below some folders, with their evaluations and groups."""

    runs: tuple[Run, ...]
    unreadable: tuple[UnreadableRun, ...]
    left_out: Mapping[Path, int]  # folders of copies, with their numbers of runs
    grouping: Grouping
    labels: tuple[str, ...]  # of the groups, in order
    short_labels: tuple[str, ...]  # of the same groups, for a legend


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
    """Compare the runs that `read_runs` reads; the first group is the one to compare with.

    `threshold` is a return to be reached, by default each environment's solved_score. `confidence`
    is that of the intervals. Raises what `read_runs` raises.
    """
    grouped = read_runs(paths, by)
    environments = dict.fromkeys(run.record.environment for run in grouped.runs)
    sections = tuple(
        summarise_environment(environment, grouped.runs, grouped.labels, threshold, confidence)
        for environment in environments
    )
    total, why_no_aggregate = aggregate(sections, grouped.labels, confidence)
    return Comparison(
        **vars(grouped),
        sections=sections,
        aggregate=total,
        why_no_aggregate=why_no_aggregate,
        confidence=confidence,
    )


def read_runs(paths: Sequence[Path], by: Sequence[str] = ()) -> GroupedRuns:
    """Read the runs at or below `paths`; groups are in the order of their first runs.

    `by` names choices or settings to group by, by default all that differ. Runs in folders named as
    in COPIES, directly below a path, are left out unless a path names the folder. Raises
    ConfigError for a path that is not a folder, if there is no run, and if no run has what `by`
    names.
    """
    for path in paths:
        if not path.is_dir():
            raise ConfigError(
                f"{path} is not a folder. Name folders of runs or sweeps, or one that contains "
                "them, such as outputs."
            )
    folders, copies = find_runs(paths, COPIES)
    counts = {
        folder: sum(copy.is_relative_to(folder) for copy in copies)
        for folder in (path / name for path in paths for name in COPIES)
    }
    left_out = {folder: count for folder, count in counts.items() if count}
    if not folders:
        named = " ".join(map(str, left_out))
        remedy = f"Name {named} to include its runs." if named else "Check the path."
        where = " ".join(map(str, paths))
        raise ConfigError(f"{where} contains no run, which has a config.yaml. {remedy}")
    records, unreadable = read_records(folders)
    try:
        grouping = group(records, by)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    runs: list[Run] = []
    for record, label, values in zip(records, grouping.labels, grouping.values, strict=True):
        try:
            runs.append(Run(record, label, values, *_evaluations(record)))
        except READ_ERRORS as error:
            unreadable.append(as_unreadable(error, record.folder))
    labels, short = _final_labels(runs, grouping.names)
    return GroupedRuns(
        runs=tuple(replace(run, label=labels[run.label]) for run in runs),
        unreadable=tuple(unreadable),
        left_out=left_out,
        grouping=grouping,
        labels=tuple(labels.values()),
        short_labels=short,
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


def _evaluations(record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, seconds and returns of a run's evaluations."""
    rows = []
    if record.status != "never started":
        rows = read_metrics(record.folder, having="evaluation/return_mean")
    steps, seconds, returns = (
        np.array([row.get(name) for row in rows], float)  # NaN for None
        for name in ("env_steps", "wall_seconds", "evaluation/return_mean")
    )
    if np.any(np.diff(steps) < 0):
        raise CorruptRun(
            f"{record.folder / 'metrics.jsonl'} has evaluations that are not in the order of "
            "their env_steps."
        )
    return steps, seconds, returns
