"""Format the numbers and paths of a report as text."""

from __future__ import annotations

import re

from harness.probe import name_and_shots


def number(value: float, digits: int = 3) -> str:
    """Format a number; NaN is a dash."""
    return "–" if value != value else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """Format a difference with its sign; NaN is a dash."""
    return number(value) if value != value else f"{value:+.3f}".replace("-", "−")


def between(low: float, high: float) -> str:
    """Format an interval of differences; NaN is a dash."""
    return number(low) if low != low else f"{signed(low)} to {signed(high)}"


def p_value(p: float) -> str:
    """Format a p value; NaN is a dash, and a small one is ``<0.0001``, never 0."""
    if p < 0.0001:
        return "<0.0001"
    return number(p, 4 if p < 0.01 else 3)


def repetition(protocol: str) -> str:
    """Return what repeats a protocol's probes: "draw" of training clips if it is few-shot."""
    return "seed" if name_and_shots(protocol)[1] is None else "draw"


# The folders of absolute paths, not of relative paths and web addresses.
_FOLDERS = re.compile(r"(?<![\w./~])/(?:[^\s/'\"<>,;:=()]+/)+")


def without_folders(text: str) -> str:
    """Replace the folders of absolute paths by an ellipsis.

    A page is sent to others and must not reveal the folders of the machine on which it was made.
    """
    return _FOLDERS.sub("…/", text)
