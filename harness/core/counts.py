"""Numbers of things in messages, and lists of which only the first are shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def plural(count: int, noun: str, several: str = "") -> str:
    """Return a number with its noun, as "1 class" or "1,200 classes".

    Args:
        count: how many.
        noun: what they are, in the singular.
        several: its plural, where that is not the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def in_range(counts: Collection[int], noun: str) -> str:
    """Return the least and the largest number with their noun: "2 to 3 draws", or "3 draws"."""
    least, most = min(counts, default=0), max(counts, default=0)
    return plural(most, noun) if least == most else f"{least:,} to {plural(most, noun)}"


def first_of(texts: Sequence[str], most: int) -> list[str]:
    """Return the first texts, then "and 3 more" if there are more."""
    rest = len(texts) - most
    return [*texts[:most], *[f"and {rest} more"] * (rest > 0)]


def abridged(texts: Sequence[str], most: int) -> str:
    """Return the first texts as "a, b", or "a, b, ..." if there are more."""
    return ", ".join([*texts[:most], *["..."] * (len(texts) > most)])
