"""Draw a forest plot of the differences of two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.figures.names import shorten
from harness.report.figures.style import (
    BAD,
    GOOD,
    INK,
    MUTED,
    fitting,
    name_rows,
    new_figure,
    styled,
    value_beside,
)

_ROW_INCHES = 0.2


@dataclass(frozen=True)
class ForestRow:
    """A difference on one task, above 0 if the first model is better.

    Attributes:
        name: name of the task.
        value: the difference.
        low, high: ends of its 95 % interval; NaN if there is none.
        kind: the better model, ``a``, ``b``, or ``neither``; ``mean`` for the mean over tasks.
    """

    name: str
    value: float
    low: float
    high: float
    kind: str


@styled
def forest_figure(differences: Sequence[ForestRow], a: str, b: str, width: float) -> Figure:
    """Draw the difference of two models on every task, with its 95 % interval.

    A significant difference is a circle if ``a`` is better and a square if ``b`` is. Any other
    difference is a grey cross. A row of ``kind`` ``mean`` is a diamond below a line.

    Args:
        differences: a row each.
        a, b: names of the models.
        width: in inches.
    """
    figure = new_figure(width, 0.75 + _ROW_INCHES * max(len(differences), 2))
    axis = figure.subplots()
    axis.axvline(0, color=INK, linewidth=0.8)
    for row, each in enumerate(differences):
        marker, colour = _LOOKS[each.kind]
        axis.plot([each.low, each.high], [row, row], color=colour, linewidth=1.6)
        axis.plot(each.value, row, marker, color=colour)
        value_beside(axis, row, f"{each.value:+.3f}".replace("-", "−"))
        if each.kind == "mean" and row:
            axis.axhline(row - 0.5, color=MUTED, linewidth=0.5, linestyle=(0, (2, 2)))
    name_rows(axis, [each.name for each in differences], most=24)
    ends = np.array([(each.value, each.low, each.high) for each in differences])
    reach = 1.08 * float(np.nanmax(np.abs(ends), initial=1e-3))
    axis.set_xlim(-reach, reach)
    better, worse = shorten([a, b], int(5 * width))
    left, right = f"← {worse} better", f"{better} better →"
    size = fitting([left, right], 7.5, width / 2 - 0.1)
    # The legend is outside the axis, which can be narrow.
    nothing = [Line2D([], [], linestyle="none")]
    figure.legend(nothing, [left], loc="outside upper left", fontsize=size, **_WORDS)
    figure.legend(nothing, [right], loc="outside upper right", fontsize=size, **_WORDS)
    axis.set_xlabel("difference")
    return figure


_WORDS: Any = {"handlelength": 0, "handletextpad": 0, "borderpad": 0, "labelcolor": MUTED}
_LOOKS = {
    "a": ("o", GOOD),
    "b": ("s", BAD),
    "neither": ("x", MUTED),
    "mean": ("D", INK),
}
