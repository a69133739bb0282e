"""The figure of a comparison, ready for a paper, and its panels as SVG for the page.

One row per environment: learning curves, final returns and performance profiles.
"""

import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mbrl.analysis.compare import Comparison
from mbrl.analysis.comparison_warnings import MAX_DRAWN, completed
from mbrl.analysis.statistics import (
    NUM_RESAMPLES_OF_CURVES,
    Interval,
    bootstrap_interval,
    interquartile_mean,
    performance_profile,
)
from mbrl.analysis.summary import GroupSummary, Run, Section

# The colours of Okabe and Ito, which colour-blind readers can distinguish, with grey for their
# yellow. Dark and light ones alternate, for prints in grey.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73", "#D55E00", "#56B4E9", "#8C8C8C")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (4, 1, 1, 1)),
    (0, (7, 1, 1, 1, 1, 1)),
    (0, (2, 1)),
    (0, (8, 2)),
    (0, (1, 2)),
)
INK, GRID = "#323f4b", "#e4e7eb"
WIDTH, ROW_HEIGHT = 11, 3.1  # inches
MAX_COLUMNS = 4  # of the legend
MAX_NAME_LENGTH = 34  # characters of a group's name below a panel
GOAL = "return to be reached"
MAX_POINTS = 100  # of a curve
PANEL_SIZE = (3.4, 2.6)  # inches; in the page, a panel is as wide as a telephone
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))

Shown = Sequence[tuple[int, GroupSummary]]  # groups, with the index of their colour


def draw(comparison: Comparison, paths: Sequence[Path]) -> None:
    """Draw the comparison into each of `paths`, whose suffix is the format: .png, .pdf.

    The same runs give the same bytes. Of more than 8 groups, the first 8 are drawn. A group has the
    same colour, marker and dashes in every panel.
    """
    labels = comparison.labels[:MAX_DRAWN]
    names = [_escape(text) for text in comparison.short_labels[:MAX_DRAWN]]
    sections = _sections(comparison)
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * len(sections)), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(sections), 3, squeeze=False, width_ratios=(1.25, 0.9, 1))
    for section, axes in zip(sections, grid, strict=True):
        _draw_row(section, list(axes), labels, names, comparison.confidence)
    drawn = {line.get_label() for axes in grid.flat for line in axes.lines}
    entries = _legend_entries(labels, names, drawn)
    if entries:
        figure.set_figheight(ROW_HEIGHT * len(sections) + _add_legend(figure, entries))
    for path in paths:
        # Without a creation date, the same runs give the same file.
        figure.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
        figure.set_layout_engine("none")  # the layout of the first file is kept


@dataclass(frozen=True)
class PageFigure:
    """The figure of the page, as SVG elements that are as wide as their place in it."""

    legend: list[tuple[str, str]]  # line and marker, and the name
    panels: list[list[tuple[str, str]]]  # [section, panel], with a caption


def draw_for_page(comparison: Comparison) -> PageFigure:
    """Draw each panel by itself, so that a page has as many beside each other as fit."""
    labels = comparison.labels[:MAX_DRAWN]
    names = [_escape(text) for text in comparison.short_labels[:MAX_DRAWN]]
    all_panels: list[list[tuple[str, str]]] = []
    drawn: set[object] = set()
    for section in _sections(comparison):
        figures = [Figure(figsize=PANEL_SIZE, layout="constrained") for _ in range(3)]
        axes = [figure.subplots() for figure in figures]
        _draw_row(section, axes, labels, names, comparison.confidence)
        drawn |= {line.get_label() for panel in axes for line in panel.lines}
        axes[0].set_title("", loc="left")  # the page has a heading
        first = "Learning curves" if section.environment else "Probability of improvement"
        captions = (first, "Final returns", "Performance profiles")
        row = len(all_panels)
        svgs = [_as_svg(figure, f"panel {row} {index}") for index, figure in enumerate(figures)]
        all_panels.append(list(zip(svgs, captions, strict=True)))
    legend: list[tuple[str, str]] = []
    for name, handle in _legend_entries(labels, comparison.short_labels, drawn):
        figure = Figure(figsize=(0.5, 0.2))
        axes_of_handle = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(-1, 1))
        axes_of_handle.set_axis_off()
        handle.set(data=([0, 0.5, 1], [0, 0, 0]), markevery=[1])
        axes_of_handle.add_line(handle)
        legend.append((_as_svg(figure, f"legend {len(legend)}"), name))
    return PageFigure(legend, all_panels)


def _sections(comparison: Comparison) -> list[Section]:
    return [*comparison.sections, *([comparison.aggregate] if comparison.aggregate else [])]


def _legend_entries(
    labels: Sequence[str], names: Sequence[str], drawn: Collection[object]
) -> list[tuple[str, Line2D]]:
    """The names and lines of the groups and the threshold, as far as they are drawn."""
    entries = [
        (name, _handle(index))
        for index, (label, name) in enumerate(zip(labels, names, strict=False))
        if label in drawn
    ]
    if GOAL in drawn:
        entries.append((GOAL, Line2D([], [], color=INK, linewidth=1, linestyle=":")))
    return entries


def _as_svg(figure: Figure, salt: str) -> str:
    """The figure as an element of an HTML page: no size, font, style sheet or address of its own.

    `salt` makes the ids that its parts refer to unique in the page.
    """
    file = io.StringIO()
    # Text stays text, which can be selected and found.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(file, format="svg", metadata=NO_METADATA, transparent=True)
    content = file.getvalue().partition("<svg ")[2]
    box = re.search(r'viewBox="[^"]*"', content)
    assert box, "matplotlib wrote no viewBox"
    content = content.partition(">")[2]
    # In text, these characters are escaped, so only Matplotlib's own elements are changed.
    content = re.sub(r'<g id="[^"]*"', "<g", content)  # nothing refers to them, and they repeat
    content = re.sub(r'(<text style="[^"]*?)font-family: [^;"]*; ', r"\1", content)
    content = re.sub(r"<style.*?</style>", "", content, flags=re.DOTALL)
    return f'<svg {box[0]} aria-hidden="true">{content.strip()}'


def curve(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [points] and returns [points, runs], interpolated between a run's evaluations.

    The curve covers the steps that all runs cover: elsewhere it would be one of fewer runs.
    """
    evaluated = []
    for run in runs:
        finite = np.isfinite(run.returns)
        if finite.any():
            evaluated.append((run.steps[finite], run.returns[finite]))
    if not evaluated:
        return np.zeros(0), np.zeros((0, 0))
    first = max(run_steps[0] for run_steps, _ in evaluated)
    last = min(run_steps[-1] for run_steps, _ in evaluated)
    steps = np.unique(np.concatenate([run_steps for run_steps, _ in evaluated]))
    steps = steps[(steps >= first) & (steps <= last)]
    if steps.size > MAX_POINTS:
        steps = steps[np.linspace(0, steps.size - 1, MAX_POINTS).round().astype(int)]
    return steps, np.stack([np.interp(steps, *points) for points in evaluated], axis=-1)


def style(axes: Axes) -> None:
    """Set the frame, ticks and grid of a panel."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9aa5b1")
    axes.tick_params(colors=INK, which="both", labelsize="small")
    offsets = (axes.xaxis.get_offset_text(), axes.yaxis.get_offset_text())
    for text in (axes.xaxis.label, axes.yaxis.label, *offsets):
        text.set(color=INK, fontsize="small")
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _escape(text: str) -> str:
    """Escape the dollar sign, which would start a formula."""
    return text.replace("$", r"\$")


def _handle(index: int) -> Line2D:
    """A group's entry in the legend."""
    color, marker, dashes = COLOURS[index], MARKERS[index], DASHES[index]
    return Line2D([], [], color=color, marker=marker, linestyle=dashes, markersize=6)


def _add_legend(figure: Figure, entries: Sequence[tuple[str, Line2D]]) -> float:
    """Add a legend above the panels, with as many columns as fit; return its height in inches."""
    names, handles = zip(*entries, strict=True)
    frame: dict[str, Any] = {"loc": "outside upper center", "frameon": False, "labelcolor": INK}
    height = 0.0
    for columns in range(min(len(entries), MAX_COLUMNS), 0, -1):
        legend = figure.legend(handles, names, ncols=columns, **frame)
        width, height = (pixels / figure.dpi for pixels in legend.get_window_extent().size)
        if width <= WIDTH - 0.1:
            break
        if columns == 1:  # a name of wide letters
            for text in legend.get_texts():
                text.set_fontsize(float(text.get_fontsize()) * (WIDTH - 0.8) / width)
            break
        legend.remove()
    return height


def _draw_row(
    section: Section,
    axes: Sequence[Axes],
    labels: Sequence[str],
    names: Sequence[str],
    confidence: float,
) -> None:
    curves, finals, profile = axes
    shown = [
        (labels.index(summary.label), summary)
        for summary in section.groups
        if summary.label in labels
    ]
    if section.environment:
        _draw_curves(curves, shown, section, confidence)
    else:
        _draw_improvements(curves, shown, names[0])
    _draw_finals(finals, shown, section, confidence)
    _draw_profiles(profile, shown, section, confidence)
    title = _escape(section.environment.rpartition(":")[2]) or "all environments"
    curves.set_title(title, loc="left", color=INK, fontweight="bold", fontsize="medium")
    for panel in axes:
        style(panel)
        panel.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))  # what fits
        if not panel.lines:
            panel.set(xticks=[], yticks=[])
            middle: dict[str, Any] = {"transform": panel.transAxes, "ha": "center", "va": "center"}
            panel.text(0.5, 0.5, "no completed run", color="#6b7785", fontsize="small", **middle)


def _draw_curves(axes: Axes, shown: Shown, section: Section, confidence: float) -> None:
    axes.set_xlabel("env steps")
    axes.set_ylabel(f"evaluation return\nIQM and {100 * confidence:g} % interval")
    for index, summary in shown:
        steps, returns = curve(completed(summary))
        if not steps.size:
            continue
        every = max(1, steps.size // 8)
        line = _line_style(index, summary) | {"linewidth": 1.8, "markersize": 4.5}
        axes.plot(steps, interquartile_mean(returns), markevery=(index % every, every), **line)
        if returns.shape[1] > 1:
            low, high = bootstrap_interval(
                [returns], interquartile_mean, confidence, NUM_RESAMPLES_OF_CURVES
            )
            axes.fill_between(steps, low, high, color=COLOURS[index], alpha=0.18, linewidth=0)
    _mark_threshold(axes, section, horizontal=True)
    axes.xaxis.set_major_formatter("{x:,.10g}")


def _draw_improvements(axes: Axes, shown: Shown, first: str) -> None:
    first = first if len(first) <= MAX_NAME_LENGTH else "the first group"
    axes.set_xlabel(f"probability of improvement\nover {first}")
    axes.axvline(0.5, color=INK, linewidth=1, linestyle=":")
    for position, (index, summary) in enumerate(shown):
        if summary.improvement is not None:
            row = len(shown) - position
            _draw_point(axes, index, row, summary.improvement, summary.improvement_interval)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(0.4, len(shown) + 0.6)
    axes.set_yticks([])


def _draw_finals(axes: Axes, shown: Shown, section: Section, confidence: float) -> None:
    score = "final return" if section.environment else "normalised score"
    axes.set_xlabel(f"{score}\nIQM and {100 * confidence:g} % interval; dots: runs")
    for row, (index, summary) in enumerate(reversed(shown), start=1):
        scores = np.concatenate(summary.scores)
        if scores.size:
            dots: dict[str, Any] = {"alpha": 0.55, "markersize": 5, "markeredgewidth": 0}
            dots |= {"color": COLOURS[index], "label": summary.label}
            axes.plot(scores, np.full(scores.size, row - 0.24), ".", **dots)
            _draw_point(axes, index, row, summary.interquartile_mean, summary.interval)
    _mark_threshold(axes, section, horizontal=False)
    axes.set_ylim(0.4, len(shown) + 0.6)
    axes.set_yticks([])


def _draw_point(axes: Axes, index: int, row: int, value: float, interval: Interval | None) -> None:
    color = COLOURS[index]
    if interval is not None:
        ends = [float(interval.low), float(interval.high)]
        axes.plot(ends, [row, row], color=color, linewidth=4, alpha=0.4)
    axes.plot([value], [row], marker=MARKERS[index], color=color, markersize=7.5)


def _draw_profiles(axes: Axes, shown: Shown, section: Section, confidence: float) -> None:
    axes.set_xlabel("final return τ" if section.environment else "normalised score τ")
    axes.set_ylabel("fraction of runs above τ")
    all_scores = np.concatenate([scores for _, summary in shown for scores in summary.scores])
    if all_scores.size:
        margin = 0.05 * np.ptp(all_scores) or 1.0
        thresholds = np.linspace(all_scores.min() - margin, all_scores.max() + margin, 201)
        alpha = 0.13 if len(shown) <= 4 else 0.05
        for index, summary in shown:
            scores = np.concatenate(summary.scores)
            if not scores.size:
                continue
            line = _line_style(index, summary) | {"linewidth": 1.6, "markersize": 4.5}
            # The markers of different groups are at different points.
            line |= {"drawstyle": "steps-post", "markevery": (7 * index, 56)}
            axes.plot(thresholds, performance_profile(scores, thresholds), **line)
            if summary.interval is not None:
                profile = partial(performance_profile, thresholds=thresholds)
                low, high = bootstrap_interval(
                    summary.scores, profile, confidence, NUM_RESAMPLES_OF_CURVES
                )
                band: dict[str, Any] = {"step": "post", "color": COLOURS[index], "linewidth": 0}
                axes.fill_between(thresholds, low, high, alpha=alpha, **band)
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])


def _line_style(index: int, summary: GroupSummary) -> dict[str, Any]:
    return {
        "color": COLOURS[index],
        "linestyle": DASHES[index],
        "marker": MARKERS[index],
        "label": summary.label,
    }


def _mark_threshold(axes: Axes, section: Section, horizontal: bool) -> None:
    """Draw a dotted line at the threshold, unless it would stretch the axis far beyond the data."""
    if section.threshold is None or not axes.lines:
        return
    low, high = axes.get_ylim() if horizontal else axes.get_xlim()
    if low - 0.25 * (high - low) <= section.threshold <= high + 0.25 * (high - low):
        line: dict[str, Any] = {"color": INK, "linewidth": 1, "linestyle": ":", "zorder": 1}
        (axes.axhline if horizontal else axes.axvline)(section.threshold, label=GOAL, **line)
