"""Detection of labels, groups and file names that differ although they look the same to people.

Names that differ only in Unicode normalisation form are the same name (:func:`composed`). Names
that differ in capitals, spaces, invisible characters, compatibility forms, dashes or quotation
marks may be the same name: :func:`alike` finds them for a warning. Similar letters of different
alphabets are not compared.
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


_QUOTATION_MARKS = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032\u00b4`", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"')
)


def _typed(name: str) -> str:
    """Replace dashes and quotation marks, which programs change, by those of a keyboard."""
    marked = name.translate(_QUOTATION_MARKS)
    return "".join("-" if unicodedata.category(char) == "Pd" else char for char in marked)


_DIFFERENCES = (
    (composed, "the Unicode form of letters"),
    (_visible, "invisible characters"),
    (_spaced, "spaces"),
    (str.casefold, "capitals"),
    (_typed, "dashes or quotation marks"),
    (_compatible, "the Unicode form of letters"),
)


def reading(name: str) -> str:
    """Return a key that is equal for all names that look the same."""
    for step in (_typed, _compatible, _visible, str.casefold, _compatible, _typed, _spaced):
        name = step(name)
    return composed(name)


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return each set of two or more names that look the same, ordered by their first names."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for name in names:
        found[reading(name)][name] = None
    return [tuple(each) for each in found.values() if len(each) > 1]


def difference(one: str, other: str) -> str:
    """Return the difference of two names that look the same, as the end of "they differ in"."""
    for step, what in _DIFFERENCES:
        if step(one) == step(other):
            return f"{what} alone"
    return "capitals, spaces and the form of characters"


def quoted(name: str) -> str:
    """Return a name in quotes, with characters escaped that are invisible or easily confused.

    Letters with accents in form NFC stay as they are.
    """
    plain = composed(_typed(_compatible(_visible(_typed(name)))))
    if name == plain and name == _spaced(name):
        return f"'{name}'"
    shown = "".join(
        char if char == " " or (char.isprintable() and char in plain) else _escape(char)
        for char in name
    )
    return f"'{shown}'"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
