"""GroupSummary of runs, drawn without pyplot: nothing global, no display needed, and the same bytes for the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

EPISODES, EVALUATION, GRID, INK = "#9aa5b1", "#0b6fa4", "#e4e7eb", "#323f4b"
LOSSES = (
    "#c2410c",
    "#7a5195",
    "#2f855a",
    "#b7791f",
    "#4a5568",
    "#97266d",
)  # readable beside each other, also when printed grey

Row = Mapping[str, Any]


def learning_curve(rows: Sequence[Row], path: str | Path, title: str) -> None:
    """Draws what a run learned into the PNG `path`: returns above, losses below, against real steps.

    `rows` are those of its metrics.jsonl; where they hold few points or none, the panels stay that empty.
    """
    figure = Figure(figsize=(8, 6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontweight="bold", wrap=True)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    _draw_returns(upper, rows)
    _draw_losses(lower, rows)
    lower.set_xlabel("env steps", color=INK)
    lower.set_xlim(0, max([10, *(row["env_steps"] for row in rows)]) * 1.02)
    lower.xaxis.set_major_formatter("{x:,.10g}")
    for axes in (upper, lower):
        _style(axes)
    figure.savefig(path)


def _draw_returns(axes: Axes, rows: Sequence[Row]) -> None:
    axes.set_ylabel("return", color=INK)
    steps, returns = points(rows, "episode/return")
    if steps.size:
        axes.plot(
            steps,
            returns,
            "o",
            markersize=3.5,
            markeredgewidth=0,
            color=EPISODES,
            alpha=0.7,
            label="episodes while collecting",
        )
    steps, means = points(rows, "evaluation/return_mean")
    if steps.size:
        worst, best = _ranges(rows, steps)
        axes.fill_between(
            steps,
            worst,
            best,
            color=EVALUATION,
            alpha=0.13,
            linewidth=0,
            label="worst to best evaluation episode",
        )
        axes.vlines(steps, worst, best, color=EVALUATION, alpha=0.35, linewidth=1)
        axes.plot(
            steps,
            means,
            "o-",
            markersize=4.5,
            linewidth=2,
            color=EVALUATION,
            label="mean of evaluation",
        )
        _annotate(axes, steps[-1], means[-1])


def _draw_losses(axes: Axes, rows: Sequence[Row]) -> None:
    axes.set_ylabel(
        "loss\n(dashed: held out)" if any("validation/dynamics" in row for row in rows) else "loss",
        color=INK,
    )
    names = sorted({name for row in rows for name in row if name.startswith("loss/")})
    for index, name in enumerate(names):
        steps, losses = points(rows, name)
        positive = losses > 0  # a known part has none, and a logarithm needs one
        if positive.any():
            label, color = name.removeprefix("loss/"), LOSSES[index % len(LOSSES)]
            axes.plot(
                steps[positive],
                losses[positive],
                ".-",
                markersize=4,
                linewidth=1.4,
                color=color,
                label=label,
            )
            axes.set_yscale("log")
        steps, errors = points(rows, name.replace("loss/", "validation/"))
        if (errors > 0).any():  # dashed, as the legend need not say for each
            axes.plot(
                steps[errors > 0],
                errors[errors > 0],
                "--",
                linewidth=1,
                color=LOSSES[index % len(LOSSES)],
                alpha=0.8,
            )


def points(rows: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Real steps and values [points] of one metric, where it was logged and finite."""
    pairs = [
        (row["env_steps"], row[name])
        for row in rows
        if row.get(name) is not None and np.isfinite(row[name])
    ]
    steps, values = np.array(pairs, float).reshape(-1, 2).T
    return steps, values


def _ranges(rows: Sequence[Row], steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The worst and the best return [points] of the evaluation at each of `steps`; its mean where they were not logged."""
    returns = {
        row["env_steps"]: _returns(row)
        for row in rows
        if row.get("evaluation/return_mean") is not None
    }
    return np.array([min(returns[step]) for step in steps]), np.array(
        [max(returns[step]) for step in steps]
    )


def _returns(row: Row) -> list[float]:
    logged = [
        value
        for value in row.get("evaluation/returns") or ()
        if value is not None and np.isfinite(value)
    ]
    return logged or [row["evaluation/return_mean"]]


def _annotate(axes: Axes, step: float, score: float) -> None:
    """The score, where it was reached: inside the panel, on whichever side of the point there is room."""
    low, high = axes.get_ylim()
    below = score > (low + high) / 2
    offset, alignment = ((0, -9), "top") if below else ((0, 9), "bottom")
    style: dict[str, Any] = {"color": EVALUATION, "fontweight": "bold", "fontsize": "small"}
    axes.annotate(
        f"{score:.4g}",
        (step, score),
        xytext=offset,
        textcoords="offset points",
        ha="right",
        va=alignment,
        **style,
    )


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(EPISODES)
    axes.tick_params(colors=INK, which="both")
    axes.grid(True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        style = {
            "frameon": False,
            "fontsize": "small",
            "labelcolor": INK,
            "columnspacing": 1.5,
            "borderaxespad": 0.3,
        }
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(-0.01, 1),
            ncols=min(len(handles), 5),
            **style,
        )
    else:
        axes.text(
            0.5,
            0.5,
            "nothing to show",
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=EPISODES,
        )
        axes.set_yticks([])
