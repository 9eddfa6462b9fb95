"""Draw the scores of all models on all tasks in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from harness.report.figures.names import shorten
from harness.report.figures.style import (
    GRID,
    MARKERS,
    MUTED,
    SERIES,
    SURFACE,
    legend_above,
    name_rows,
    new_figure,
    styled,
)

_APART_INCHES = 0.062  # between two models of a row
_HIGHEST_ROW = 0.42  # inches, so that 20 rows fit on a page
_TASK_LETTERS = 26
_MODEL_LETTERS = 22
_GREY: Any = {"linestyle": "none", "marker": ".", "color": MUTED, "markersize": 3.5, "alpha": 0.6}


@dataclass(frozen=True)
class ModelScores:
    """Scores of one model on all tasks.

    Attributes:
        model: its name.
        values: scores by task, (tasks,); NaN if there is none.
        low, high: ends of the 95 % intervals, (tasks,); NaN if there is none.
        mean: mean over tasks; NaN if there is none or if it lacks tasks.
        lacking: such as "17 of 19", if the model lacks tasks; else empty.
        baseline: whether the model is a baseline.
        series: number of its colour and marker; None for a grey dot without an interval.
    """

    model: str
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: float
    lacking: str = ""
    baseline: bool = False
    series: int | None = None


@styled
def summary_figure(
    models: Sequence[ModelScores], tasks: Sequence[str], scales: Sequence[str], width: float
) -> Figure:
    """Draw the scores of all models with their intervals, a row for each task.

    Tasks of one scale share an axis. The last row of the first axis shows the means. Baselines are
    hollow. The legend marks models that lack tasks.

    Args:
        models: in the order of the legend.
        tasks: names.
        scales: name of each task's axis, equal for tasks whose scores share one.
        width: in inches.
    """
    coloured = [model for model in models if model.series is not None]
    height = max(0.2, min(_APART_INCHES * (len(coloured) + 1) + 0.04, _HIGHEST_ROW))
    by_scale: dict[str, list[int]] = {}
    for place, scale in enumerate(scales):
        by_scale.setdefault(scale, []).append(place)
    averaged = bool(np.isfinite([model.mean for model in models]).any())
    rows = [len(own) + (averaged and not number) for number, own in enumerate(by_scale.values())]
    legend = 0.17 * (2 + len(coloured) // max(1, int(width / 1.9)))
    figure = new_figure(width, legend + 0.45 * len(rows) + height * sum(rows))
    axes = figure.subplots(len(rows), squeeze=False, height_ratios=rows)[:, 0]
    for axis, (scale, own) in zip(axes, by_scale.items()):
        with_mean = averaged and axis is axes[0]
        _draw_rows(axis, models, own, with_mean)
        name_rows(axis, [tasks[place] for place in own] + ["mean"] * with_mean, most=_TASK_LETTERS)
        axis.set_xlabel(scale)
    names = shorten([model.model for model in coloured], _MODEL_LETTERS)
    handles = [_mark(axes[0], model, [], []) for model in coloured]
    labels = [
        f"{name} ({model.lacking})" if model.lacking else name
        for name, model in zip(names, coloured)
    ]
    if len(coloured) < len(models):
        handles += axes[0].plot([], [], **_GREY)
        labels.append("others")
    legend_above(figure, handles, labels)
    return figure


def _draw_rows(
    axis: Axes, models: Sequence[ModelScores], own: Sequence[int], with_mean: bool
) -> None:
    """Draw some tasks, at the rows 0, 1, ..., and the means below them."""
    rows = np.arange(len(own) + with_mean)
    for row in rows[1::2]:
        axis.axhspan(row - 0.5, row + 0.5, color=GRID, alpha=0.35, linewidth=0)
    if with_mean:
        axis.axhline(len(own) - 0.5, color=MUTED, linewidth=0.6)
    coloured = [model for model in models if model.series is not None]
    shifts = 0.8 / max(len(coloured), 1) * (np.arange(len(coloured)) - (len(coloured) - 1) / 2)
    for model in models:
        if model.series is None:
            axis.plot([*model.values[own], *[model.mean][:with_mean]], rows, **_GREY)
    for model, shift in zip(coloured, shifts):
        colour = SERIES[(model.series or 0) % len(SERIES)]
        ends = model.low[own], model.high[own]
        axis.hlines(rows[: len(own)] + shift, *ends, color=colour, linewidth=1.1)
        _mark(axis, model, [*model.values[own], *[model.mean][:with_mean]], rows + shift)


def _mark(axis: Axes, model: ModelScores, x: ArrayLike, y: ArrayLike) -> Line2D:
    """Draw a model's markers; return their handle for the legend."""
    number = model.series or 0
    colour = SERIES[number % len(SERIES)]
    return axis.plot(
        x,
        y,
        MARKERS[number % len(MARKERS)],
        color=colour,
        markerfacecolor=SURFACE if model.baseline else colour,
        markersize=4,
        markeredgewidth=0.9 if model.baseline else 0.3,
        markeredgecolor=colour if model.baseline else SURFACE,
    )[0]
