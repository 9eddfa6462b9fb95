"""Draw the scores of a model's layers, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.report.figures.names import shorten
from harness.report.figures.style import SERIES, legend_above, new_figure, styled


@dataclass(frozen=True)
class LayerScores:
    """The scores of one model's layers on a task.

    Attributes:
        model: its name without the layer.
        layers: numbers of the layers, rising.
        values, low, high: score and interval of each layer; NaN where there is no interval.
    """

    model: str
    layers: tuple[int, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@styled
def layers_figure(models: Sequence[LayerScores], metric: str, width: float) -> Figure:
    """Draw scores by layer: one line for each model, with bars for the intervals.

    Args:
        models: at least one.
        metric: name of the vertical axis.
        width: in inches.
    """
    figure = new_figure(width, 2.6)
    axis = figure.subplots()
    shift = 0.12 if len(models) > 1 else 0.0  # bars of two models side by side
    lines = []
    for number, model in enumerate(models):
        colour = SERIES[number % len(SERIES)]
        places = [layer + shift * (number - (len(models) - 1) / 2) for layer in model.layers]
        axis.vlines(places, model.low, model.high, color=colour, linewidth=1.0, alpha=0.6)
        lines += axis.plot(places, model.values, color=colour, marker="o", markersize=3.5)
    axis.set_xlabel("layer")
    axis.set_ylabel(metric)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(models) > 1:
        legend_above(figure, lines, shorten([model.model for model in models], 40))
    return figure
