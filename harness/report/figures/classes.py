"""Draw the scores of a task's classes, and a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.report.figures.names import shorten
from harness.report.figures.style import (
    BAD,
    GOOD,
    INK,
    MARKERS,
    MUTED,
    SERIES,
    SURFACE,
    fitting,
    legend_above,
    name_rows,
    new_figure,
    styled,
)

MOST_CLASSES = 24
"""Largest number of classes in one figure."""
LABEL_LETTERS = 22
"""Longest label of a class."""
_NUMBERED = 12  # with more classes, the cells have no numbers
_ROW_INCHES = 0.18
_APART_INCHES = 0.045  # offset of two models, so that equal values are both visible
_LEAST_SHARE = 0.005  # smaller shares, which round to 0 %, are not drawn


@styled
def classes_figure(
    values: pd.DataFrame, metric: str, width: float, series: Sequence[int] = ()
) -> Figure:
    """Draw the score of every class for a few models, each with a colour and marker of its own.

    Args:
        values: classes × models, in the order in which they are drawn; NaN where undefined.
        metric: label of the axis.
        width: in inches.
        series: numbers of the models' colours and markers; their places if empty.
    """
    n_models = values.shape[1]
    height = max(_ROW_INCHES, _APART_INCHES * (n_models + 1))
    figure = new_figure(width, 0.8 + height * max(len(values), 3))
    axis = figure.subplots()
    rows = np.arange(len(values))
    axis.hlines(rows, values.min(axis=1), values.max(axis=1), color=MUTED, linewidth=0.5)
    models = shorten([str(model) for model in values.columns], 20)
    looks = series or range(n_models)
    for place, (model, look, (_, column)) in enumerate(zip(models, looks, values.items())):
        axis.plot(
            column,
            rows + _APART_INCHES / height * (place - (n_models - 1) / 2),
            MARKERS[look % len(MARKERS)],
            color=SERIES[look % len(SERIES)],
            markeredgecolor=SURFACE,
            markeredgewidth=0.4,
            markersize=5.5 if n_models <= 4 else 4.5,
            label=model,
        )
    name_rows(axis, [str(label) for label in values.index], most=LABEL_LETTERS)
    axis.set_xlabel(metric)
    legend_above(figure, *axis.get_legend_handles_labels())
    return figure


@styled
def confusion_figure(shares: np.ndarray, labels: Sequence[str], width: float) -> Figure:
    """Draw a confusion matrix: a row a true class, a column a predicted one.

    The deeper a cell's colour, the larger its share. The diagonal, with the correct predictions,
    has its own colour. Up to twelve classes have the shares in percent too.

    Args:
        shares: (C, C), each row the shares of its class's clips; a class without clips has zeros.
        labels: of the classes.
        width: in inches.
    """
    n = len(labels)
    figure = new_figure(width, 0.95 * width)
    axis = figure.subplots()
    for row, column in np.argwhere(shares >= _LEAST_SHARE):
        share = float(shares[row, column])
        axis.add_patch(
            Rectangle(
                (column - 0.46, row - 0.46),
                0.92,
                0.92,
                facecolor=GOOD if row == column else BAD,
                alpha=0.12 + 0.88 * share,
                linewidth=0,
            )
        )
        if n <= _NUMBERED:
            axis.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=8 if n <= 8 else 7,
                color=SURFACE if share > 0.5 else INK,
            )
    names = shorten(labels, 14)
    size = fitting(names, 8 if n <= _NUMBERED else 6.5, 0.36 * width)
    upright = max(map(len, names)) > 3
    axis.set_xticks(range(n), names, rotation=90 if upright else 0, fontsize=size, color=INK)
    axis.set_yticks(range(n), names, fontsize=size)
    axis.tick_params(length=0)
    axis.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
    axis.set(xlabel="predicted", ylabel="true")
    axis.grid(visible=False)
    axis.spines[:].set_visible(True)
    return figure
