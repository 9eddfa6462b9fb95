"""Draw scores by the number of training clips of each label, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from harness.report.figures.names import shorten
from harness.report.figures.style import SERIES, legend_above, new_figure, styled


@dataclass(frozen=True)
class ShotScores:
    """The scores of one model on a task.

    Attributes:
        model: its name.
        shots: numbers of shots, rising; None for all training clips, at the end.
        values, low, high: score and interval of each; NaN where there is no interval.
    """

    model: str
    shots: tuple[int | None, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@styled
def shots_figure(models: Sequence[ShotScores], metric: str, width: float) -> Figure:
    """Draw scores by shots: one line for each model, with bars for the intervals.

    The axis of shots is logarithmic. All training clips are at its end, at no certain number.

    Args:
        models: at least one.
        metric: name of the vertical axis.
        width: in inches.
    """
    figure = new_figure(width, 2.8)
    axis = figure.subplots()
    numbers = sorted({n for model in models for n in model.shots if n is not None})
    step = np.log2(numbers[-1] / numbers[0]) / max(len(numbers) - 1, 1) or 1.0
    place: dict[int | None, float] = {n: float(np.log2(n)) for n in numbers}
    place[None] = place[numbers[-1]] + step
    shift = 0.05 * step
    lines = []
    for number, model in enumerate(models):
        colour = SERIES[number % len(SERIES)]
        beside = shift * (number - (len(models) - 1) / 2)
        at = [place[n] + beside for n in model.shots]
        axis.vlines(at, model.low, model.high, color=colour, linewidth=1.0, alpha=0.6)
        drawn = [n is not None for n in model.shots]
        few = [x for x, shown in zip(at, drawn, strict=True) if shown]
        draw = partial(axis.plot, color=colour, marker="o", markersize=3.5)
        lines += draw(few, model.values[: len(few)])
        if not all(drawn) and few:
            draw(at[-2:], model.values[-2:], linestyle=":")
    shown = sorted({n for model in models for n in model.shots}, key=place.__getitem__)
    axis.set_xticks([place[n] for n in shown], ["all" if n is None else f"{n:,}" for n in shown])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("training clips of each label")
    axis.set_ylabel(metric)
    if len(models) > 1:
        legend_above(figure, lines, shorten([model.model for model in models], 40))
    return figure
