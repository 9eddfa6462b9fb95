"""Numbers of things in messages, and lists of which only the first are shown."""

from __future__ import annotations

from collections.abc import Sequence


def plural(count: int, noun: str, several: str = "") -> str:
    """Return a number with its noun, as "1 class" or "1,200 classes".

    Args:
        count: how many.
        noun: what they are, in the singular.
        several: its plural, where that is not the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def first_of(texts: Sequence[str], most: int) -> list[str]:
    """Return the first texts, then "and 3 more" if there are more."""
    rest = len(texts) - most
    return [*texts[:most], *[f"and {rest} more"] * (rest > 0)]


def abridged(texts: Sequence[str], most: int) -> str:
    """Return the first texts as "a, b", or "a, b, ..." if there are more."""
    return ", ".join([*texts[:most], *["..."] * (len(texts) > most)])
