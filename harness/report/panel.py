"""What a section of a report is made of: a figure, the same as a table, players, and words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.report.sounds import Sound


@dataclass(frozen=True)
class Sheet:
    """A table of texts; ``numbers`` are the columns that hold numbers.

    A row may have a player in the column ``sound``. Of the columns ``folded``, a page shows the
    beginning of long texts, and the rest on demand.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | Sound, ...], ...]
    numbers: frozenset[int] = frozenset()
    folded: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Panel:
    """A piece of a report.

    Attributes:
        name: tells it from the other panels of its section; part of file names.
        title: its heading.
        note: what to know; or, where nothing is shown, why not.
        model: whose it is; empty where it is about several.
        draw: makes the figure, of a width in inches; None for none.
        alt: what the figure shows, in words.
        sheet: the same as a table; None for none.
        shown: whether the table is the panel itself, and not the figure's alternative.
        sound: the recording that it is about; None for none.
    """

    name: str
    title: str
    note: str = ""
    model: str = ""
    draw: Callable[[float], Figure] | None = None
    alt: str = ""
    sheet: Sheet | None = None
    shown: bool = False
    sound: Sound | None = None


@dataclass(frozen=True)
class Section:
    """The panels of one task by one protocol: those of all models, and those of single ones.

    ``missing`` says, in a sentence, what the section lacks as a whole; ``left_out`` names models
    that have scores and no panels.
    """

    protocol: str
    task: str
    panels: tuple[Panel, ...]
    by_model: dict[str, tuple[Panel, ...]] = field(default_factory=dict)
    missing: str = ""
    left_out: str = ""

    def every_panel(self) -> Sequence[Panel]:
        """All panels, those of single models after the others."""
        return [*self.panels, *(panel for own in self.by_model.values() for panel in own)]


def number(value: float, digits: int = 3) -> str:
    """Spell a number, NaN as a dash."""
    return "–" if value != value else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """Spell a difference, with its sign."""
    return number(value) if value != value else f"{value:+.3f}".replace("-", "−")


def between(low: float, high: float) -> str:
    """Spell an interval of differences, NaN as a dash."""
    return number(low) if low != low else f"{signed(low)} to {signed(high)}"


def p_value(p: float) -> str:
    """Spell a p value, NaN as a dash; none is ever 0."""
    if p < 0.0001:
        return "<0.0001"
    return number(p, 4 if p < 0.01 else 3)


# A folder that is named from the root; not a relative path's, nor an address's.
_FOLDERS = re.compile(r"(?<![\w./~])/(?:[^\s/'\"<>,;:=()]+/)+")


def without_folders(text: str) -> str:
    """Cut absolute paths down to the names at their ends.

    A page is sent to people who have no use for where things were on the machine of its writer.
    """
    return _FOLDERS.sub("…/", text)
