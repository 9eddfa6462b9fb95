"""Names that read the same to a person and differ to a program: labels, groups, files.

What differs in Unicode normalisation form alone is one name (:func:`composed`). What differs in
capitals, spaces, invisible characters or compatibility forms may be one name: :func:`alike` finds
it for a warning. Letters of different alphabets that look alike are not compared.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable


def composed(name: str) -> str:
    """Return a name in Unicode form NFC, in which canonically equal names are equal."""
    return unicodedata.normalize("NFC", name)


def _compatible(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


def _visible(name: str) -> str:
    """Drop format and control characters, variation selectors and fillers, but no white space."""
    return "".join(
        char
        for char in name
        if char.isspace()
        or not (
            unicodedata.category(char) in ("Cf", "Cc")
            or "\ufe00" <= char <= "\ufe0f"
            or char in "\u034f\u115f\u1160\u3164\uffa0"
        )
    )


def _spaced(name: str) -> str:
    return " ".join(name.split())


_DIFFERENCES = (
    (composed, "the Unicode form of letters"),
    (_visible, "invisible characters"),
    (_spaced, "spaces"),
    (str.casefold, "capitals"),
    (_compatible, "the Unicode form of letters"),
)


def reading(name: str) -> str:
    """Return what a name reads as: the same for names that differ in what is hard to see."""
    for step in (_compatible, _visible, str.casefold, _compatible, _spaced):
        name = step(name)
    return composed(name)


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the names that read the same, two or more together, in the order of their first."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for name in names:
        found[reading(name)][name] = None
    return [tuple(each) for each in found.values() if len(each) > 1]


def difference(one: str, other: str) -> str:
    """Return in what two names that read the same differ, to end "they differ in"."""
    for step, what in _DIFFERENCES:
        if step(one) == step(other):
            return f"{what} alone"
    return "capitals, spaces and the form of letters"


def quoted(name: str) -> str:
    """Return a name in quotes, with every character escaped that a reader could not tell apart.

    Letters with accents in form NFC stay as they are.
    """
    plain = composed(_compatible(_visible(name)))
    if name == plain and name == _spaced(name):
        return f"'{name}'"
    shown = "".join(
        char if char == " " or (char.isprintable() and char in plain) else _escape(char)
        for char in name
    )
    return f"'{shown}'"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
