"""Draw validation scores of a probe over epochs or searched values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from harness.report.figures.style import INK, MUTED, SERIES, SURFACE, new_figure, styled


@dataclass(frozen=True)
class Curve:
    """One selected probe on validation.

    Attributes:
        x: epochs, or the values that were searched.
        score: at each of them.
        valid_loss, train_loss: at each of them; empty if there are none.
        chosen: the ``x`` that was chosen; None if it is not known.
    """

    x: tuple[float, ...]
    score: tuple[float, ...]
    valid_loss: tuple[float, ...] = ()
    train_loss: tuple[float, ...] = ()
    chosen: float | None = None


@styled
def curves_figure(
    curves: Sequence[Curve], x_name: str, score_name: str, width: float, log: bool = False
) -> Figure:
    """Draw scores and, below, losses: one line per curve, with a dot at the chosen value.

    Args:
        curves: the curves of the folds and seeds.
        x_name, score_name: labels of the axes.
        width: in inches.
        log: whether the searched values are on a logarithmic axis.
    """
    with_loss = any(curve.valid_loss for curve in curves)
    figure = new_figure(width, 3.1 if with_loss else 1.9)
    axes = figure.subplots(1 + with_loss, sharex=True, squeeze=False)[:, 0]
    opacity = max(0.35, min(1.0, 3 / max(len(curves), 1)))
    for curve in curves:
        few = "." if len(curve.x) <= 20 else None
        axes[0].plot(curve.x, curve.score, color=SERIES[0], alpha=opacity, marker=few, markersize=3)
        if curve.chosen in curve.x:
            at = curve.x.index(curve.chosen)
            axes[0].plot(curve.x[at], curve.score[at], "o", color=SERIES[0], mec=SURFACE, mew=0.6)
        if curve.valid_loss:
            axes[1].plot(curve.x, curve.valid_loss, color=SERIES[1], alpha=opacity)
        if curve.train_loss:
            axes[1].plot(curve.x, curve.train_loss, "--", color=MUTED, alpha=opacity, linewidth=0.9)
    axes[0].set_ylabel(score_name, fontsize=8 if len(score_name) <= 16 else 6.5)
    if with_loss:
        axes[1].set_ylabel("loss")
        key = [axes[1].plot([], [], color=SERIES[1], label="validation")[0]]
        if any(curve.train_loss for curve in curves):
            key += axes[1].plot([], [], "--", color=MUTED, linewidth=0.9, label="training")
        axes[1].legend(handles=key, loc="upper right", ncols=2)
        axes[1].margins(y=0.25)
    if log:
        _logarithmic(axes[-1], sorted({x for curve in curves for x in curve.x}))
    axes[-1].set_xlabel(x_name)
    for axis in axes:
        axis.tick_params(axis="y", labelcolor=INK)
    return figure


def _logarithmic(axis: Axes, values: Sequence[float]) -> None:
    """Label the searched values if they are few, else powers of ten."""
    axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    if len(values) <= _FEW:
        axis.xaxis.set_major_locator(FixedLocator(values))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        return
    axis.xaxis.set_major_locator(LogLocator(10, numticks=6))
    axis.xaxis.set_major_formatter(FuncFormatter(_power))


def _power(value: float, _: int) -> str:
    exponent = round(math.log10(value))
    return "10" + str(exponent).translate(_RAISED)


_FEW = 6
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
