"""Draw mean ranks over tasks with their critical difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.figures.names import shorten
from harness.report.figures.style import (
    INK,
    MUTED,
    SERIES,
    fitting,
    name_rows,
    new_figure,
    styled,
    value_beside,
    width_of,
)

MOST_IN_DIAGRAM = 12
"""With more models, each has its own row."""
_ROW_INCHES = 0.17
_BAR_INCHES = 0.1  # between two bars
_TICK_INCHES = 0.28  # between two ticks, at least


@styled
def ranks_figure(
    ranks: pd.Series, ties: Sequence[Sequence[str]], width: float, critical: float | None = None
) -> Figure:
    """Draw the mean ranks of models.

    Up to twelve models are on one axis, the best on the left. Bars join models that do not differ
    significantly (Demšar 2006, section 3.2.2). With more than twelve, each model has its own row
    and a bar as long as the critical difference: models whose bars do not overlap differ
    significantly.

    Args:
        ranks: mean rank by model, 1 being the best.
        ties: groups of models that do not differ significantly.
        width: in inches.
        critical: the smallest significant difference of mean ranks; None if there is none.
    """
    ranks = ranks.sort_values(kind="stable")
    if len(ranks) > MOST_IN_DIAGRAM:
        return _rows(ranks, width, critical)
    return _diagram(
        ranks, [ranks[list(group)] for group in ties if len(group) > 1], width, critical
    )


def _rows(ranks: pd.Series, width: float, critical: float | None) -> Figure:
    figure = new_figure(width, 0.5 + _ROW_INCHES * len(ranks))
    axis = figure.subplots()
    for row, rank in enumerate(ranks):
        if critical is not None:
            ends = [rank - critical / 2, rank + critical / 2]
            axis.plot(ends, [row, row], color=SERIES[0], linewidth=1.6)
        axis.plot(rank, row, "o", color=INK, markersize=3.5)
        value_beside(axis, row, f"{rank:.2f}")
    name_rows(axis, [str(model) for model in ranks.index])
    axis.set_xlabel("mean rank")
    return figure


def _diagram(
    ranks: pd.Series, groups: Sequence[pd.Series], width: float, critical: float | None
) -> Figure:
    n = len(ranks)
    left = (n + 1) // 2
    top = 0.45 + 0.22 * (critical is not None)
    below = top + 0.12 + _BAR_INCHES * len(groups)
    height = below + _ROW_INCHES * left + 0.1
    figure = new_figure(width, height)
    figure.set_layout_engine("none")  # everything is placed by hand
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()
    names = shorten([str(model) for model in ranks.index], 17)
    widest = 0.42 * width
    size = fitting(names, 7.5, widest - 0.48)
    margin = min(max(0.85, 0.48 + max(width_of(name, size) for name in names)), widest)

    def place(rank: float) -> float:
        return float(margin + (rank - 1) / (n - 1) * (width - 2 * margin))

    _draw_axis(axis, n, margin, width, top)
    if critical is not None:
        axis.plot([place(1), place(1 + critical)], [0.2, 0.2], color=SERIES[0], linewidth=2.6)
        said = f"critical difference {critical:.2f}"
        axis.text(place(1), 0.17, said, va="bottom", fontsize=7.5, color=MUTED)
    for number, group in enumerate(groups):
        y = top + 0.12 + _BAR_INCHES * number
        ends = [place(group.min()) - 0.04, place(group.max()) + 0.04]
        axis.plot(ends, [y, y], color=SERIES[0], linewidth=2.6, solid_capstyle="round")
    for number, (name, rank) in enumerate(zip(names, ranks)):
        on_left = number < left
        row = number if on_left else n - 1 - number
        y = below + _ROW_INCHES * (row + 0.5)
        end = margin - 0.06 if on_left else width - margin + 0.06
        axis.plot([place(rank), place(rank), end], [top, y, y], color=MUTED, linewidth=0.7)
        axis.plot(place(rank), top, "o", color=INK, markersize=3)
        axis.text(
            end + (-0.04 if on_left else 0.04),
            y,
            f"{name}  {rank:.2f}" if on_left else f"{rank:.2f}  {name}",
            ha="right" if on_left else "left",
            va="center",
            fontsize=size,
        )
    return figure


def _draw_axis(axis: Axes, n: int, margin: float, width: float, y: float) -> None:
    """Draw the axis of ranks from 1 to n, with as many ticks as fit."""
    room = width - 2 * margin
    axis.plot([margin, width - margin], [y, y], color=INK, linewidth=0.9)
    step = int(np.ceil((n - 1) * _TICK_INCHES / room))
    for rank in range(1, n + 1, step):
        x = margin + (rank - 1) / (n - 1) * room
        axis.plot([x, x], [y - 0.06, y], color=INK, linewidth=0.9)
        axis.text(x, y - 0.09, str(rank), ha="center", va="bottom", fontsize=7.5)
    axis.text(margin - 0.1, y, "mean rank", ha="right", va="center", color=MUTED, fontsize=7.5)
