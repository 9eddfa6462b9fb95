"""How numbers and paths are spelled in a report."""

from __future__ import annotations

import re


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
    """Spell a p value, NaN as a dash; a small one as ``<0.0001``, never as 0."""
    if p < 0.0001:
        return "<0.0001"
    return number(p, 4 if p < 0.01 else 3)


# An absolute path's folders; not those of a relative path or a web address.
_FOLDERS = re.compile(r"(?<![\w./~])/(?:[^\s/'\"<>,;:=()]+/)+")


def without_folders(text: str) -> str:
    """Replace the folders of absolute paths by an ellipsis.

    A page is sent to others, who must not learn the folders of the machine it was made on.
    """
    return _FOLDERS.sub("…/", text)
