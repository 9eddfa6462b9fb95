"""Define the sizes, fonts and colours of all figures, and write figures to files."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from harness.core.files import write_file
from harness.report.figures.names import shorten, xml_safe

COLUMN_INCHES = 3.5
"""One column of a two-column paper (IEEE's templates)."""
TEXT_INCHES = 7.16
"""Both columns of a two-column paper (IEEE's templates)."""
SCREEN_INCHES = 4.0
"""On the page: text is about 9 CSS pixels high on a phone, 13 on a desktop screen."""

INK = "#1c2128"
MUTED = "#57606c"
GRID = "#d3d8df"
SURFACE = "#fefefe"
SERIES = (
    "#0a5ea8",
    "#c34d05",
    "#0b7d5a",
    "#9c4a86",
    "#8d6708",
    "#2886bd",
    "#6d6f00",
    "#7a3b2e",
)
"""Blue, vermillion, green, purple, ochre, sky, olive, brown: after Okabe and Ito's palette for
colour-blind readers (2008), darkened to a contrast of 3 or more on white. Each is drawn with a
marker of its own."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
GOOD, BAD = SERIES[0], SERIES[1]

VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    SURFACE: "--surface",
    **{colour: f"--c{number}" for number, colour in enumerate(SERIES, start=1)},
}
"""The CSS variable that replaces each colour in an SVG."""

FORMATS = ("pdf", "png", "svg")
_DOTS_PER_INCH = 300
_RC: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "hear-byola",
    "text.color": INK,
    # A dollar sign in a model's name does not begin a formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
    "ytick.major.size": 0,
}

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def styled(draw: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Make a function draw in this style, without changing matplotlib's global settings."""

    @functools.wraps(draw)
    def wrapped(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with matplotlib.rc_context(_RC), warnings.catch_warnings():
            # Names may be in any script; the reader's browser has the glyphs that DejaVu lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            return draw(*args, **kwargs)

    return wrapped


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; width and height are in inches."""
    return Figure(figsize=(width, height))


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of a text in inches."""
    font = FontProperties(family=_RC["font.family"], weight=weight, size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72


def fitting(labels: Sequence[str], size: float, inches: float, weight: str = "normal") -> float:
    """Return the font size, at most ``size``, at which every label fits into ``inches``."""
    widest = max((width_of(label, size, weight) for label in labels), default=0.0)
    return size * min(1.0, inches / max(widest, 1e-9))


def name_rows(axis: Axes, names: Sequence[str], most: int = 26) -> None:
    """Label the rows 0, 1, ... of an axis with names, the first at the top."""
    labels = shorten(names, most)
    inches = axis.figure.bbox.width / axis.figure.dpi
    size = fitting(labels, _RC["ytick.labelsize"], inches / 2)
    axis.set_yticks(range(len(names)), labels, fontsize=size)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    axis.spines["left"].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(max(3, int(1.4 * inches))))


def value_beside(axis: Axes, row: int, text: str) -> None:
    """Write a number to the right of an axis, at one of its rows."""
    if text.strip("+−") != "nan":
        place = axis.get_yaxis_transform()
        axis.text(1.02, row, text, transform=place, va="center", fontsize=7.5)


def legend_above(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Place a legend above the axes, over the full width."""
    if handles:
        letters = max(len(label) for label in labels)
        columns = int(figure.get_figwidth() // (0.4 + 0.065 * letters))
        figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=max(1, min(columns, len(handles))),
            columnspacing=1.2,
            handletextpad=0.4,
        )


@styled
def to_bytes(figure: Figure, style: str) -> bytes:
    """Return a figure as a ``pdf``, ``png`` or ``svg`` file; equal figures give equal files.

    A PDF embeds its fonts as TrueType (Type 42), as publishers require. A PNG has 300 dots per inch
    and a white background.
    """
    # Names come from users, and a control character in a name would make an SVG invalid.
    for text in figure.findobj(Text):
        text.set_text(xml_safe(text.get_text()))
    stream = BytesIO()
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(style)
    ground = "white" if style == "png" else "none"
    figure.savefig(stream, format=style, dpi=_DOTS_PER_INCH, metadata=metadata, facecolor=ground)
    return stream.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, whole or not at all."""
    write_file(path, to_bytes(figure, path.suffix.removeprefix(".")))
