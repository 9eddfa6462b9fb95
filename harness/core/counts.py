"""Numbers of things in messages: "1 clip", "1,200 clips"."""

from __future__ import annotations


def plural(count: int, noun: str, several: str = "") -> str:
    """Return a number with its noun, as "1 class" or "1,200 classes".

    Args:
        count: how many.
        noun: what they are, in the singular.
        several: its plural, where that is not the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"
