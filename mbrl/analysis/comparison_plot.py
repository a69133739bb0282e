"""The figure of a comparison, as it goes into a paper: an environment a row; learning curves, final returns, performance profiles."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mbrl.analysis.compare import Comparison, GroupSummary, Run, Section
from mbrl.analysis.comparison_warnings import MOST_DRAWN, completed
from mbrl.analysis.statistics import (
    NUM_RESAMPLES_OF_CURVES,
    bootstrap_interval,
    interquartile_mean,
    performance_profile,
)

# Okabe and Ito's colours, which the colour-blind can tell apart, dark beside light, so that a grey print can too; a grey for their yellow.
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
MOST_COLUMNS = 4  # of the legend
LONGEST = 34  # characters of a group's name below a panel
GOAL = "return to be reached"
NUM_POINTS = 100  # of a curve, at most


def draw(comparison: Comparison, paths: Sequence[Path]) -> None:
    """Draws the comparison into each of `paths`, whose endings say how: .png, .pdf. The same runs give the same bytes.

    Of more than 8 groups, the first 8. Groups keep their colour, marker and dashes in every panel.
    """
    labels = comparison.labels[:MOST_DRAWN]
    names = [_plain(text) for text in comparison.short_labels[:MOST_DRAWN]]
    sections = [*comparison.sections, *([comparison.aggregate] if comparison.aggregate else [])]
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * len(sections)), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(sections), 3, squeeze=False, width_ratios=(1.25, 0.9, 1))
    for section, axes in zip(sections, grid, strict=True):
        _draw_row(section, list(axes), labels, names, comparison.confidence)
    drawn = {line.get_label() for axes in grid.flat for line in axes.lines}
    entries = [
        (name, _handle(index))
        for index, (label, name) in enumerate(zip(labels, names, strict=True))
        if label in drawn
    ]
    entries += (
        [(GOAL, Line2D([], [], color=INK, linewidth=1, linestyle=":"))] if GOAL in drawn else []
    )
    if entries:
        figure.set_figheight(ROW_HEIGHT * len(sections) + _add_legend(figure, entries))
    for path in paths:
        # Without a date, the same runs give the same file.
        figure.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
        figure.set_layout_engine("none")  # it is laid out by now, and the same in each


def _handle(index: int) -> Line2D:
    return Line2D(
        [], [], color=COLOURS[index], marker=MARKERS[index], linestyle=DASHES[index], markersize=6
    )


def _add_legend(figure: Figure, entries: Sequence[tuple[str, Line2D]]) -> float:
    """Above the panels, in as many columns as the figure's width has room for; returns its height in inches."""
    names, handles = zip(*entries, strict=True)
    height = 0.0
    for columns in range(min(len(entries), MOST_COLUMNS), 0, -1):
        legend = figure.legend(
            handles, names, loc="outside upper center", ncols=columns, frameon=False, labelcolor=INK
        )
        width, height = (pixels / figure.dpi for pixels in legend.get_window_extent().size)
        if width <= WIDTH - 0.1:
            break
        if columns == 1:  # of wide letters
            for text in legend.get_texts():
                text.set_fontsize(float(text.get_fontsize()) * (WIDTH - 0.8) / width)
            break
        legend.remove()
    return height


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # which would begin a formula


def _draw_row(
    section: Section,
    axes: Sequence[Axes],
    labels: Sequence[str],
    names: Sequence[str],
    confidence: float,
) -> None:
    curves, finals, profile = axes
    shown = [
        (labels.index(figures.label), figures)
        for figures in section.groups
        if figures.label in labels
    ]
    name = _plain(section.environment.rpartition(":")[2]) or "all environments"
    if section.environment:
        _draw_curves(curves, shown, section, confidence)
    else:
        _draw_improvements(curves, shown, names[0])
    _draw_finals(finals, shown, section, confidence)
    _draw_profile(profile, shown, section, confidence)
    curves.set_title(name, loc="left", color=INK, fontweight="bold", fontsize="medium")
    for each in axes:
        style(each)
        if not each.lines:
            each.set(xticks=[], yticks=[])
            each.text(
                0.5,
                0.5,
                "no completed run",
                transform=each.transAxes,
                ha="center",
                va="center",
                color="#6b7785",
                fontsize="small",
            )


def _draw_curves(
    axes: Axes, shown: Sequence[tuple[int, GroupSummary]], section: Section, confidence: float
) -> None:
    axes.set_xlabel("env steps")
    axes.set_ylabel(f"evaluation return\nIQM and {100 * confidence:g} % interval")
    for index, figures in shown:
        steps, returns = curve(completed(figures))
        if not steps.size:
            continue
        style = _line_style(index, figures)
        every = max(1, steps.size // 8)
        axes.plot(
            steps,
            interquartile_mean(returns),
            linewidth=1.8,
            markersize=4.5,
            markevery=(index % every, every),
            **style,
        )
        if returns.shape[1] > 1:
            low, high = bootstrap_interval(
                [returns], interquartile_mean, confidence, NUM_RESAMPLES_OF_CURVES
            )
            axes.fill_between(steps, low, high, color=COLOURS[index], alpha=0.18, linewidth=0)
    _mark_threshold(axes, section, horizontal=True)
    axes.xaxis.set_major_formatter("{x:,.10g}")


def curve(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [points] and returns [points, runs] where all of the runs were evaluated, or between two of its evaluations.

    Beyond where the shortest run ended there is no curve, since it would be one of other runs.
    """
    evaluated = [
        (run.steps[finite], run.returns[finite])
        for run in runs
        for finite in [np.isfinite(run.returns)]
        if finite.any()
    ]
    if not evaluated:
        return np.zeros(0), np.zeros((0, 0))
    steps = np.unique(np.concatenate([each for each, _ in evaluated]))
    first, last = max(each[0] for each, _ in evaluated), min(each[-1] for each, _ in evaluated)
    steps = steps[(steps >= first) & (steps <= last)]
    if steps.size > NUM_POINTS:
        steps = steps[np.linspace(0, steps.size - 1, NUM_POINTS).round().astype(int)]
    return steps, np.stack([np.interp(steps, *each) for each in evaluated], axis=-1)


def _draw_improvements(axes: Axes, shown: Sequence[tuple[int, GroupSummary]], first: str) -> None:
    first = first if len(first) <= LONGEST else "the first group"
    axes.set_xlabel(f"probability of improvement\nover {first}")
    axes.axvline(0.5, color=INK, linewidth=1, linestyle=":")
    for index, figures in shown:
        if figures.improvement is not None:
            _draw_point(
                axes,
                index,
                len(shown) - shown.index((index, figures)),
                figures.improvement,
                figures.improvement_interval,
            )
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(0.4, len(shown) + 0.6)
    axes.set_yticks([])


def _draw_finals(
    axes: Axes, shown: Sequence[tuple[int, GroupSummary]], section: Section, confidence: float
) -> None:
    score = "final return" if section.environment else "normalised score"
    axes.set_xlabel(f"{score}\nIQM and {100 * confidence:g} % interval; dots: runs")
    for row, (index, figures) in enumerate(reversed(shown), start=1):
        scores = np.concatenate(figures.scores)
        if scores.size:
            style: dict[str, Any] = {
                "color": COLOURS[index],
                "alpha": 0.55,
                "markersize": 5,
                "markeredgewidth": 0,
                "label": figures.label,
            }
            axes.plot(scores, np.full(scores.size, row - 0.24), ".", **style)
            _draw_point(axes, index, row, figures.interquartile_mean, figures.interval)
    _mark_threshold(axes, section, horizontal=False)
    axes.set_ylim(0.4, len(shown) + 0.6)
    axes.set_yticks([])


def _draw_point(axes: Axes, index: int, row: float, value: float, interval) -> None:
    if interval is not None:
        axes.plot(
            [float(interval.low), float(interval.high)],
            [row, row],
            color=COLOURS[index],
            linewidth=4,
            alpha=0.4,
        )
    axes.plot([value], [row], marker=MARKERS[index], color=COLOURS[index], markersize=7.5)


def _draw_profile(
    axes: Axes, shown: Sequence[tuple[int, GroupSummary]], section: Section, confidence: float
) -> None:
    axes.set_xlabel("final return τ" if section.environment else "normalised score τ")
    axes.set_ylabel("share of runs above τ")
    everything = np.concatenate([scores for _, figures in shown for scores in figures.scores])
    if everything.size:
        margin = 0.05 * np.ptp(everything) or 1.0
        thresholds = np.linspace(everything.min() - margin, everything.max() + margin, 201)
        for index, figures in shown:
            _draw_one_profile(
                axes,
                index,
                figures,
                thresholds,
                confidence,
                alpha=0.13 if len(shown) <= 4 else 0.05,
            )
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])


def _draw_one_profile(
    axes: Axes,
    index: int,
    figures: GroupSummary,
    thresholds: np.ndarray,
    confidence: float,
    alpha: float,
) -> None:
    scores = np.concatenate(figures.scores)
    if not scores.size:
        return
    shares = performance_profile(scores, thresholds)
    every = (7 * index, 56)  # markers of different groups beside each other
    style = _line_style(index, figures)
    axes.plot(
        thresholds,
        shares,
        linewidth=1.6,
        markersize=4.5,
        markevery=every,
        drawstyle="steps-post",
        **style,
    )
    if figures.interval is not None:
        profile = partial(performance_profile, thresholds=thresholds)
        low, high = bootstrap_interval(figures.scores, profile, confidence, NUM_RESAMPLES_OF_CURVES)
        axes.fill_between(
            thresholds, low, high, step="post", color=COLOURS[index], alpha=alpha, linewidth=0
        )


def _line_style(index: int, figures: GroupSummary) -> dict[str, Any]:
    return {
        "color": COLOURS[index],
        "linestyle": DASHES[index],
        "marker": MARKERS[index],
        "label": figures.label,
    }


def _mark_threshold(axes: Axes, section: Section, horizontal: bool) -> None:
    """A dotted line where the runs were to come, if that is near what they reached: it must not press the rest together."""
    if section.threshold is None or not axes.lines:
        return
    low, high = axes.get_ylim() if horizontal else axes.get_xlim()
    if low - 0.25 * (high - low) <= section.threshold <= high + 0.25 * (high - low):
        (axes.axhline if horizontal else axes.axvline)(
            section.threshold, label=GOAL, color=INK, linewidth=1, linestyle=":", zorder=1
        )


def style(axes: Axes) -> None:
    """The frame, ticks and grid of every panel."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9aa5b1")
    axes.tick_params(colors=INK, which="both", labelsize="small")
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set(color=INK, fontsize="small")
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
