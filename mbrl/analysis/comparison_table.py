"""A comparison as rows of text for the terminal and the page, and as a CSV file."""

import csv
import math
from pathlib import Path

import numpy as np

from mbrl.analysis.compare import Comparison
from mbrl.analysis.comparison_warnings import completed
from mbrl.analysis.statistics import Interval
from mbrl.analysis.summary import GroupSummary, Run, Section
from mbrl.errors import printable
from mbrl.tables import format_duration, format_number

DASH = "–"
COLUMNS = (
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
    "normalised_score",
    "threshold",
    "steps_to_threshold",
    "seconds_to_threshold",
    "error",
)


def title(section: Section) -> str:
    """The heading of a section's table."""
    if section.environment:
        return section.environment
    return "all environments: 0 is the return of random actions, 1 what counts as solved"


def header(section: Section, comparison: Comparison) -> list[str]:
    """The names of the columns."""
    percent = f"[{100 * comparison.confidence:g} %]"
    score = "return" if section.environment else "score"
    names = ["group", "runs"]
    if section.environment:
        names.append("env steps")
    names += [f"mean {score}", f"IQM {percent}"]
    if section.threshold is not None:
        names += [f"reached {section.threshold:.15g}", "env steps to it", "time to it"]
    return [*names, f"P(better than first) {percent}", "wall time"]


def rows(section: Section) -> list[list[str]]:
    """One row per group."""
    lines = []
    for summary in section.groups:
        runs = completed(summary)
        cells = [summary.label, f"{len(runs)}/{len(summary.runs)}"]
        if section.environment:
            steps = [run.record.env_steps for run in runs]
            ends = sorted({min(steps), max(steps)}) if steps else []
            cells.append("–".join(map(str, ends)) or DASH)
        cells.append(format_number(summary.mean))
        cells.append(_with_interval(summary.interquartile_mean, summary.interval))
        if section.threshold is not None:
            cells += _reached(summary, section.threshold)
        improvement, wall_time = DASH, DASH
        if summary.improvement is not None:
            interval = summary.improvement_interval
            improvement = _with_interval(summary.improvement, interval, "{:.2f}")
        if runs:
            wall_time = format_duration(float(np.median([run.record.wall_seconds for run in runs])))
        lines.append([*cells, improvement, wall_time])
    return lines


def _with_interval(value: float, interval: Interval | None, form: str = "") -> str:
    def asquoted(number) -> str:
        return form.format(float(number)) if form else format_number(float(number))

    if interval is None:
        return asquoted(value)
    return f"{asquoted(value)} [{asquoted(interval.low)}, {asquoted(interval.high)}]"


def _reached(summary: GroupSummary, threshold: float) -> list[str]:
    """The number of runs that reached the threshold, and medians of steps and time to it.

    The medians are over all runs; one that did not reach it counts as later than any.
    """
    steps, seconds = np.array([run.reached(threshold) for run in summary.runs]).T
    num_reached, num_runs = int(np.isfinite(steps).sum()), len(summary.runs)
    median_steps, median_seconds = float(np.median(steps)), float(np.median(seconds))
    if math.isfinite(median_steps):
        medians = [f"{median_steps:.0f}", format_duration(median_seconds)]
    else:
        fraction = "half" if 2 * num_reached == num_runs else "most"
        medians = [f"{fraction} did not" if num_reached else "none did"] * 2
    return [f"{num_reached}/{num_runs}", *medians]


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write one line per run, completed or not; unknown values are empty.

    `counts` tells whether the final return is included in mean, IQM and interval. Steps and seconds
    to the threshold are `inf` if it was not reached. Text that a spreadsheet would take for a
    formula gets a quote in front.
    """
    names = comparison.grouping.names
    sections = {section.environment: section for section in comparison.sections}
    group_columns = [quoted(name) if name not in COLUMNS else f"group {name}" for name in names]
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS[:2], *group_columns, *COLUMNS[2:]])
        for run in comparison.runs:
            cells = _csv_cells(run, sections[run.record.environment])
            writer.writerow([*cells[:2], *map(quoted, run.values), *cells[2:]])
        for entry in comparison.unreadable:
            line = dict.fromkeys(COLUMNS, "") | {
                "folder": quoted(str(entry.folder)),
                "status": entry.status,
                "error": quoted(entry.reason),
            }
            cells = list(line.values())
            writer.writerow([*cells[:2], *("" for _ in names), *cells[2:]])


def _csv_cells(run: Run, section: Section) -> list[str]:
    """The cells of a run, in the order of COLUMNS."""
    record = run.record
    steps, seconds = run.reached(section.threshold)
    counts = run.is_completed and math.isfinite(run.final_return)
    return [
        quoted(str(record.folder)),
        quoted(run.label),
        quoted(record.environment),
        str(record.seed),
        record.status,
        "" if record.budget is None else str(record.budget),
        str(record.env_steps),
        repr(record.wall_seconds),
        _exact(run.final_return),
        "yes" if counts else "no",
        _exact(float(section.normalise(np.array([run.final_return]))[0])),
        "" if section.threshold is None else repr(section.threshold),
        _exact(steps),
        _exact(seconds),
        quoted(record.error),
    ]


def _exact(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def quoted(text: str) -> str:
    """Printable text, with a quote before what a spreadsheet would take for a formula."""
    text = printable(text)
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return text
