"""Draw a map of embeddings: points in two dimensions, coloured by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from harness.report.figures.names import shorten
from harness.report.figures.style import (
    GRID,
    MARKERS,
    MUTED,
    SERIES,
    fitting,
    legend_above,
    new_figure,
    styled,
)

MOST_LABELS = len(SERIES)
"""Number of labels with a colour and marker of their own; other labels are grey."""
_FEW = 4
"""With more panels, there are three columns."""


@styled
def map_figure(
    points: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[str]],
    shown: Sequence[str],
    width: float,
) -> Figure:
    """Draw one panel per model. Axes have no numbers, because their unit has no meaning.

    Args:
        points: of each model, (n, 2).
        labels: of each model's points, n.
        shown: the labels that have a colour, at most ``MOST_LABELS``.
        width: in inches.
    """
    columns = min(len(points), 2 if len(points) <= _FEW else 3)
    rows = -(-len(points) // columns)
    side = width / columns
    figure = new_figure(width, 0.45 + rows * (side + 0.12))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    key = {}
    titles = shorten(list(points), 24 if columns < 3 else 16)
    size = fitting(titles, 8.5, side - 0.15, "bold")
    for axis, title, (model, places) in zip(axes, titles, points.items()):
        own = np.array(list(labels[model]), dtype=object)
        dot = 2.6 if len(places) > 500 else 3.6
        rest = ~np.isin(own, list(shown))
        axis.plot(*places[rest].T, ".", color=MUTED, alpha=0.45, markersize=dot - 0.4)
        for number, label in enumerate(shown):
            (key[label],) = axis.plot(
                *places[own == label].T,
                MARKERS[number % len(MARKERS)],
                color=SERIES[number % len(SERIES)],
                markersize=dot,
                markeredgewidth=0,
            )
        axis.set_title(title, fontsize=size)
        axis.set(xticks=[], yticks=[])
        axis.set_box_aspect(1)
        axis.spines[:].set_visible(True)
        axis.spines[:].set_color(GRID)
    for axis in axes[len(points) :]:
        axis.set_axis_off()
    names = shorten([str(label) for label in key], 14)
    if len(axes) > len(points):
        axes[-1].legend(list(key.values()), names, loc="upper left", handletextpad=0.4)
    else:
        legend_above(figure, list(key.values()), names)
    return figure
