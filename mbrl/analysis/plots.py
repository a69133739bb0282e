"""The figure of one run: returns and losses over real steps.

Drawn without pyplot: no global state, no display, and the same bytes for the same rows.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mbrl.errors import printable
from mbrl.regular_files import write_atomic

EPISODES, EVALUATION, GRID, INK = "#9aa5b1", "#0b6fa4", "#e4e7eb", "#323f4b"
# Distinguishable beside each other, also when printed in grey.
LOSSES = ("#c2410c", "#7a5195", "#2f855a", "#b7791f", "#4a5568", "#97266d")

Row = Mapping[str, Any]


def learning_curve(rows: Sequence[Row], path: str | Path, title: str) -> None:
    """Draw a run into the PNG `path`: returns above, losses below, over real steps.

    `rows` are those of its metrics.jsonl. Panels without points are empty.
    """
    figure = Figure(figsize=(8, 6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    style: dict[str, Any] = {"color": INK, "fontweight": "bold", "wrap": True}
    figure.suptitle(printable(title), x=0.01, ha="left", parse_math=False, **style)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    _draw_returns(upper, rows)
    _draw_losses(lower, rows)
    lower.set_xlabel("env steps", color=INK)
    lower.set_xlim(0, max([10, *(row["env_steps"] for row in rows)]) * 1.02)
    lower.xaxis.set_major_formatter("{x:,.10g}")
    for axes in (upper, lower):
        _style(axes)
    image = BytesIO()
    figure.savefig(image, format="png")
    write_atomic(Path(path), image.getbuffer())


def _draw_returns(axes: Axes, rows: Sequence[Row]) -> None:
    axes.set_ylabel("return", color=INK)
    steps, returns = points(rows, "episode/return")
    if steps.size:
        dots: dict[str, Any] = {"markersize": 3.5, "markeredgewidth": 0, "alpha": 0.7}
        label = "episodes while collecting"
        axes.plot(steps, returns, "o", color=EPISODES, label=label, **dots)
    steps, means = points(rows, "evaluation/return_mean")
    if steps.size:
        worst, best = _ranges(rows, steps)
        band: dict[str, Any] = {"alpha": 0.13, "linewidth": 0}
        label = "worst to best evaluation episode"
        axes.fill_between(steps, worst, best, color=EVALUATION, label=label, **band)
        axes.vlines(steps, worst, best, color=EVALUATION, alpha=0.35, linewidth=1)
        line: dict[str, Any] = {"markersize": 4.5, "linewidth": 2}
        axes.plot(steps, means, "o-", color=EVALUATION, label="mean of evaluation", **line)
        # The last score is written above or below its point, where the panel has room.
        low, high = axes.get_ylim()
        below = means[-1] > (low + high) / 2
        offset, alignment = ((0, -9), "top") if below else ((0, 9), "bottom")
        style: dict[str, Any] = {"color": EVALUATION, "fontweight": "bold", "fontsize": "small"}
        style |= {"xytext": offset, "textcoords": "offset points", "ha": "right", "va": alignment}
        axes.annotate(f"{means[-1]:.4g}", (steps[-1], means[-1]), **style)


def _draw_losses(axes: Axes, rows: Sequence[Row]) -> None:
    held_out = any("validation/dynamics" in row for row in rows)
    axes.set_ylabel("loss\n(dashed: held out)" if held_out else "loss", color=INK)
    names = sorted({name for row in rows for name in row if name.startswith("loss/")})
    for index, name in enumerate(names):
        color = LOSSES[index % len(LOSSES)]
        steps, losses = points(rows, name)
        # The loss of a known part is 0, which a logarithmic axis cannot show.
        positive = losses > 0
        if positive.any():
            label = printable(name.removeprefix("loss/")).replace("$", r"\$")  # no formula
            line: dict[str, Any] = {"markersize": 4, "linewidth": 1.4}
            axes.plot(steps[positive], losses[positive], ".-", color=color, label=label, **line)
            axes.set_yscale("log")
        steps, errors = points(rows, name.replace("loss/", "validation/"))
        positive = errors > 0
        if positive.any():
            dashes: dict[str, Any] = {"linewidth": 1, "alpha": 0.8}
            axes.plot(steps[positive], errors[positive], "--", color=color, **dashes)


def points(rows: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Real steps and values [points] of one metric, where it was logged and is finite."""
    pairs = [
        (row["env_steps"], row[name])
        for row in rows
        if row.get(name) is not None and np.isfinite(row[name])
    ]
    steps, values = np.array(pairs, float).reshape(-1, 2).T
    return steps, values


def _ranges(rows: Sequence[Row], steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest return [points] of the evaluation at each of `steps`."""
    returns = {}
    for row in rows:
        if row.get("evaluation/return_mean") is not None:
            logged = [
                value
                for value in row.get("evaluation/returns") or ()
                if value is not None and np.isfinite(value)
            ]
            # Only their mean if the returns of the episodes were not logged.
            returns[row["env_steps"]] = logged or [row["evaluation/return_mean"]]
    lowest = np.array([min(returns[step]) for step in steps])
    return lowest, np.array([max(returns[step]) for step in steps])


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(EPISODES)
    axes.tick_params(colors=INK, which="both")
    axes.grid(True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        style: dict[str, Any] = {"frameon": False, "fontsize": "small", "labelcolor": INK}
        style |= {"columnspacing": 1.5, "borderaxespad": 0.3, "ncols": min(len(handles), 5)}
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1), **style)
    else:
        middle: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
        axes.text(0.5, 0.5, "nothing to show", color=EPISODES, **middle)
        axes.set_yticks([])
