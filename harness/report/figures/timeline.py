"""Draw the true and predicted events of one recording over its spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import signal

from harness.report.figures.style import (
    BAD,
    GRID,
    INK,
    MUTED,
    legend_above,
    name_rows,
    new_figure,
    styled,
)
from tasks.format.task import Event

_LOWEST_HZ = 60.0
_DECIBELS = 70.0  # dB below the maximum that are drawn
_ROWS, _COLUMNS = 96, 480
_TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)


@styled
def timeline_figure(
    truth: Sequence[Event],
    predicted: Sequence[Event],
    labels: Sequence[str],
    *,
    begin: float,
    end: float,
    width: float,
    audio: np.ndarray | None = None,
    rate: int = 0,
) -> Figure:
    """Draw events from ``begin`` to ``end`` (ms), one row per label, over the spectrogram.

    Args:
        truth, predicted: events of the recording, in ms.
        labels: the rows.
        begin, end: what is shown, in ms.
        width: in inches.
        audio: the recording's samples (n,) from its start; None leaves the spectrogram out.
        rate: of the samples, in Hz.
    """
    row = 0.26 if len(labels) <= 16 else 0.13
    lanes = 0.3 + row * max(len(labels), 1)
    heights = [lanes] if audio is None else [1.25, lanes]
    figure = new_figure(width, sum(heights) + 0.7)
    axes = figure.subplots(
        len(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    if audio is not None:
        _spectrogram(axes[0], audio, rate, begin, end)
    axis = axes[-1]
    place = {label: number for number, label in enumerate(labels)}
    for events, top, style in ((truth, -0.38, _TRUTH), (predicted, 0.02, _PREDICTED)):
        for event in events:
            if event.label in place and event.end >= begin and event.start <= end:
                corner = (event.start / 1e3, place[event.label] + top)
                seconds = max((event.end - event.start) / 1e3, (end - begin) / 4e5)
                axis.add_patch(Rectangle(corner, seconds, 0.36, **style))
    name_rows(axis, labels, most=18)
    if len(labels) > 16:
        axis.tick_params(axis="y", labelsize=6)
    for edge in np.arange(0.5, len(labels) - 1):
        axis.axhline(edge, color=GRID, linewidth=0.5)
    axis.set_xlim(begin / 1e3, end / 1e3)
    axis.set_xlabel("seconds")
    key = [Rectangle((0, 0), 1, 1, **_TRUTH), Rectangle((0, 0), 1, 1, **_PREDICTED)]
    legend_above(figure, key, ["truth (upper bar)", "prediction (lower bar)"])
    return figure


_TRUTH: dict[str, Any] = {"facecolor": INK, "edgecolor": INK, "linewidth": 0.8}
_PREDICTED: dict[str, Any] = {"facecolor": "none", "edgecolor": BAD, "linewidth": 1.1}


def _spectrogram(axis: Axes, audio: np.ndarray, rate: int, begin: float, end: float) -> None:
    """Draw the level over time and frequency, in decibels below the maximum; loud is dark."""
    part = audio[int(begin * rate / 1e3) : int(end * rate / 1e3)]
    window = int(2 ** np.round(np.log2(0.032 * rate)))
    if len(part) < window:
        part = np.pad(part, (0, window - len(part)))
    hop = max(1, (len(part) - window) // _COLUMNS)
    _, _, spectrum = signal.stft(
        part, rate, nperseg=window, noverlap=max(0, window - hop), boundary=None, padded=False
    )
    power = np.abs(spectrum) ** 2
    frequencies = np.geomspace(_LOWEST_HZ, rate / 2, _ROWS + 1)
    bins = np.clip((frequencies * window / rate).astype(int), 0, len(power) - 1)
    bands = np.stack([power[low : max(high, low + 1)].mean(axis=0) for low, high in pairwise(bins)])
    decibels = 10 * np.log10(np.maximum(bands / max(float(bands.max()), 1e-20), 1e-20))
    ink = np.zeros((*decibels.shape, 4), dtype=np.uint8)
    ink[..., 3] = np.round(255 * np.clip(1 + decibels / _DECIBELS, 0, 1) ** 1.5)
    axis.imshow(
        ink,
        extent=(begin / 1e3, end / 1e3, 0, _ROWS),
        aspect="auto",
        origin="lower",
        interpolation="none",
    )
    ticks = [hz for hz in _TICKS_HZ if _LOWEST_HZ < hz < rate / 2]
    octaves = np.log(rate / 2 / _LOWEST_HZ)
    axis.set_yticks(
        [_ROWS * np.log(hz / _LOWEST_HZ) / octaves for hz in ticks],
        [f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz" for hz in ticks],
        fontsize=7,
        color=MUTED,
    )
    axis.tick_params(axis="x", length=0)
    axis.grid(visible=False)
