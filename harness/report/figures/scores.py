"""Draw the scores of models on one task, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.figures.style import (
    MUTED,
    SERIES,
    SURFACE,
    name_rows,
    new_figure,
    styled,
    value_beside,
)

_ROW_INCHES = 0.2
_BOARD = SERIES[3]


@dataclass(frozen=True)
class ModelScore:
    """A model's score on a task.

    Attributes:
        model: its name.
        value: mean over seeds; NaN if there is none.
        low, high: ends of the 95 % interval; NaN if there is none.
        baseline: whether the model is one.
        seeds: the values of single seeds, drawn as ticks if there are several.
    """

    model: str
    value: float
    low: float
    high: float
    baseline: bool = False
    seeds: tuple[float, ...] = ()


@styled
def scores_figure(
    scores: Sequence[ModelScore],
    metric: str,
    width: float,
    board: pd.Series | None = None,
    board_title: str = "",
) -> Figure:
    """Draw every model's score with its 95 % interval, in the order of the rows.

    Args:
        scores: a row each.
        metric: label of the axis.
        width: in inches.
        board: published scores by model, drawn as a row of ticks below ours; None for none.
        board_title: names that row.
    """
    names = [score.model for score in scores]
    published = pd.Series(dtype=float) if board is None else board.dropna()
    if len(published):
        names.append(f"{board_title} ({len(published)})")
    figure = new_figure(width, 0.5 + _ROW_INCHES * (len(names) + bool(len(published))))
    axis = figure.subplots()
    for row, score in enumerate(scores):
        colour = MUTED if score.baseline else SERIES[0]
        axis.plot([score.low, score.high], [row, row], color=colour, linewidth=1.6)
        if len(score.seeds) > 1:
            axis.plot(score.seeds, [row] * len(score.seeds), "|", color=colour, markersize=7)
        marker, face = ("s", SURFACE) if score.baseline else ("o", colour)
        axis.plot(score.value, row, marker, color=colour, markerfacecolor=face)
        value_beside(axis, row, f"{score.value:.3f}")
    name_rows(axis, names)
    if len(published):
        _draw_board(axis, len(names) - 1, published)
    axis.set_xlabel(metric)
    return figure


def _draw_board(axis: Axes, row: int, published: pd.Series) -> None:
    """Draw a tick for each published model, a triangle at the median, and the best as a number."""
    axis.axhline(row - 0.5, color=MUTED, linewidth=0.5, linestyle=(0, (2, 2)))
    axis.plot(published, [row] * len(published), "|", color=_BOARD, markersize=9)
    median = float(published.median())
    axis.plot(median, row + 0.6, "^", color=_BOARD, markersize=4)
    axis.text(median, row + 1.2, "median", color=MUTED, fontsize=7, ha="center", va="center")
    axis.set_ylim(row + 1.5, -0.5)
    value_beside(axis, row, f"{published.max():.3f}")
