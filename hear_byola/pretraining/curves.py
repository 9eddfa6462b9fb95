"""Draw the figure of a run: loss, measures of collapse, learning rate and quick probes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hear_byola.core.wholefile import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 1000  # twice the width of a panel in pixels
_PROBE = "probe/"
_PANELS = {
    "loss": ["loss", "clips", "frames"],
    "standard deviation": ["embedding_std", "projection_std", "frame_projection_std"],
    "effective rank": ["embedding_rank", "projection_rank", "frame_projection_rank"],
    "learning rate": ["lr"],
    "auxiliary loss": ["auxiliary"],
}


def draw(metrics_csv: Path, figure: Path) -> None:
    """Draw the logged values of a run as a PNG, which replaces an older figure.

    A curve of more than 1,000 values is drawn as means of neighbouring values, with a band from
    their minimum to their maximum. Values that are not finite leave a gap.

    Args:
        metrics_csv: rows with the column `step`, and any of the names in `_PANELS` and
            `probe/TASK`; empty cells where a step did not log a column. If a step has several
            rows, the last value counts. The file may be absent, empty, or end in the middle of a
            row.
        figure: path of the PNG.

    Raises:
        OSError: the figure cannot be written; an older one is unchanged.
    """
    # Imported here because it takes a second; without pyplot, which has global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = _read(metrics_csv)
    probes = [str(name) for name in table if str(name).startswith(_PROBE)]
    panels = {
        title: [name for name in names if name in table]
        for title, names in {**_PANELS, "probes": probes}.items()
    }
    drawn = {title: names for title, names in panels.items() if names} or {"loss": []}
    page = Figure(figsize=(8, 2.2 * len(drawn)), layout="constrained")
    axes = page.subplots(len(drawn), sharex=True, squeeze=False)[:, 0]
    for axis, (title, names) in zip(axes, drawn.items(), strict=True):
        for name in names:
            _curve(axis, table[name].dropna(), name)
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
        if names not in ([], ["loss"], ["lr"]):
            axis.legend(fontsize="small")
    if table.empty:
        axes[0].text(0.5, 0.5, "nothing is logged yet", ha="center", transform=axes[0].transAxes)
    axes[-1].set_xlabel("step")
    image = io.BytesIO()
    FigureCanvasAgg(page).print_png(image)
    with replacing(figure) as temporary:
        temporary.write_bytes(image.getvalue())


def _read(metrics_csv: Path) -> pd.DataFrame:
    """Return columns of finite numbers by step; empty if there are none."""
    try:
        table = pd.read_csv(metrics_csv, on_bad_lines="skip", dtype=str, encoding_errors="replace")
    except (FileNotFoundError, pd.errors.EmptyDataError, pd.errors.ParserError):
        return pd.DataFrame()
    if "step" not in table or table.empty:
        return pd.DataFrame()
    numbers = table.apply(pd.to_numeric, errors="coerce").astype(float)
    numbers = numbers.where(np.isfinite(numbers)).dropna(subset="step")
    return numbers.groupby("step").last().dropna(axis="columns", how="all")


def _curve(axis: Axes, values: pd.Series, name: str) -> None:
    label = name.removeprefix(_PROBE)
    if len(values) <= _POINTS:
        few = name.startswith(_PROBE) or len(values) < 3
        axis.plot(values.index, values, marker="o" if few else None, markersize=3, label=label)
        return
    part = np.arange(len(values)) * _POINTS // len(values)
    groups = values.groupby(part)
    steps = values.index.to_series().groupby(part).mean()
    (line,) = axis.plot(steps, groups.mean(), label=label)
    # The outline shows single outliers.
    axis.fill_between(
        steps, groups.min(), groups.max(), color=line.get_color(), alpha=0.3, linewidth=0.8
    )
