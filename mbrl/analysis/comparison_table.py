"""A comparison as rows of text, for the terminal and the page, and as a file of one line a run, for whatever comes after."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mbrl.analysis.compare import Comparison, GroupSummary, Run, Section
from mbrl.analysis.comparison_warnings import completed
from mbrl.tables import format_duration, format_number

DASH = "–"


def title(section: Section) -> str:
    """What stands above a section's table."""
    return (
        section.environment
        or "all environments: 0 is what random actions earn, 1 what counts as solved"
    )


def header(section: Section, comparison: Comparison) -> list[str]:
    """The columns' names."""
    percent = f"[{100 * comparison.confidence:g} %]"
    names = ["group", "runs", f"mean {_score(section)}", f"IQM {percent}"]
    if section.environment:
        names = [*names[:2], "env steps", *names[2:]]
    if section.threshold is not None:
        goal = format_number(section.threshold)
        names += [f"reached {goal}", "env steps to it", "time to it"]
    return [*names, f"P(better than first) {percent}", "wall time"]


def rows(section: Section) -> list[list[str]]:
    """A row a group."""
    return [_row(figures, section) for figures in section.groups]


def _row(figures: GroupSummary, section: Section) -> list[str]:
    done = completed(figures)
    cells = [figures.label, f"{len(done)}/{len(figures.runs)}"]
    if section.environment:
        cells.append(_range([run.record.env_steps for run in done]))
    cells += [
        format_number(figures.mean),
        _with_interval(figures.interquartile_mean, figures.interval),
    ]
    if section.threshold is not None:
        cells += _reached(figures, section.threshold)
    chance = (
        DASH
        if figures.improvement is None
        else _with_interval(figures.improvement, figures.improvement_interval, "{:.2f}")
    )
    return [
        *cells,
        chance,
        format_duration(float(np.median([run.record.wall_seconds for run in done])))
        if done
        else DASH,
    ]


def _score(section: Section) -> str:
    return "return" if section.environment else "score"


def _range(values: Sequence[int]) -> str:
    return (
        DASH
        if not values
        else str(values[0])
        if min(values) == max(values)
        else f"{min(values)}–{max(values)}"
    )


def _with_interval(value: float, interval, form: str = "") -> str:
    def said(each) -> str:
        return form.format(float(each)) if form else format_number(float(each))

    return said(value) + (
        f" [{said(interval.low)}, {said(interval.high)}]" if interval is not None else ""
    )


def _not_reached(came: int, format_number: int) -> str:
    return (
        "none did" if not came else "half did not" if 2 * came == format_number else "most did not"
    )


def _reached(figures: GroupSummary, threshold: float) -> list[str]:
    """How many of a group's runs came there, and the medians over all of them: those that did not count as later than any."""
    steps, seconds = np.array([run.reached(threshold) for run in figures.runs]).T
    came = int(np.isfinite(steps).sum())
    median_steps, median_seconds = float(np.median(steps)), float(np.median(seconds))
    said = (
        [f"{median_steps:.0f}", format_duration(median_seconds)]
        if math.isfinite(median_steps)
        else [_not_reached(came, len(figures.runs))] * 2
    )
    return [f"{came}/{len(figures.runs)}", *said]


COLUMNS: tuple[str, ...] = (
    "folder",
    "group",
    "environment",
    "seed",
    "status",
    "budget",
    "env_steps",
    "wall_seconds",
    "final_return",
    "counts",
)
COLUMNS += ("normalised_score", "threshold", "steps_to_threshold", "seconds_to_threshold", "error")


def write_csv(comparison: Comparison, path: Path) -> None:
    """A line a run, of those that are not completed too; what is not known is empty.

    `counts` says whether the final return is one of those that mean, IQM and interval were taken of; steps and seconds to the
    threshold are `inf` where it was not reached. Text that a spreadsheet would take for a formula begins with a quote.
    """
    names = comparison.grouping.names
    sections = {section.environment: section for section in comparison.sections}
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                *COLUMNS[:2],
                *(_text(name) if name not in COLUMNS else f"group {name}" for name in names),
                *COLUMNS[2:],
            ]
        )
        for run in comparison.runs:
            folder, label, *facts = _facts(run, sections[run.record.environment])
            writer.writerow([folder, label, *map(_text, run.values), *facts])
        for each in comparison.damaged:
            line = dict.fromkeys(COLUMNS, "") | {
                "folder": _text(str(each.folder)),
                "status": each.status,
                "error": _text(each.reason),
            }
            writer.writerow(
                [line["folder"], "", *("" for _ in names), *(line[name] for name in COLUMNS[2:])]
            )


def _facts(run: Run, section: Section) -> list[str]:
    record, steps_seconds = run.record, run.reached(section.threshold)
    counts = run.is_completed and math.isfinite(run.final_return)
    facts = [
        _text(str(record.folder)),
        _text(run.label),
        _text(record.environment),
        str(record.seed),
        record.status,
    ]
    facts += [
        "" if record.budget is None else str(record.budget),
        str(record.env_steps),
        repr(record.wall_seconds),
    ]
    facts += [
        _exact(run.final_return),
        "yes" if counts else "no",
        _exact(_normalised(run.final_return, section)),
    ]
    facts += [
        "" if section.threshold is None else repr(section.threshold),
        *map(_exact, steps_seconds),
        _text(record.error),
    ]
    return facts


def _normalised(score: float, section: Section) -> float:
    if (
        section.random_score is None
        or section.solved_score is None
        or section.random_score == section.solved_score
    ):
        return math.nan
    return (score - section.random_score) / (section.solved_score - section.random_score)


def _exact(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def _text(text: str) -> str:
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return text
