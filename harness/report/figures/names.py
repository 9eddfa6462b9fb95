"""Names as labels: short, on one line, and different where the names are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import takewhile

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """Replace the characters that no XML, UTF-8 or page can hold; line breaks and tabs stay."""
    return _UNPRINTABLE.sub("\ufffd", text)


def shorten(names: Sequence[str], most: int = 26) -> list[str]:
    """Return names of at most so many letters on one line, of which different ones stay different.

    Long ones are cut in the middle, or where they agree, if else they would look the same. Labels
    are longer than ``most`` where nothing shorter tells all names apart.
    """
    names = [re.sub(r"[\t\n\r]", "\ufffd", printable(name)) for name in names]
    different = set(names)
    while len(set((labels := _labels(different, most)).values())) < len(different):
        most += 1
    return [labels[name] for name in names]


def _labels(names: Collection[str], most: int) -> dict[str, str]:
    alike = defaultdict(list)
    for name in names:
        alike[_cut(name, most)].append(name)
    found: dict[str, str] = {}
    for label, group in alike.items():
        found |= {group[0]: label} if len(group) == 1 else _told_apart(group, most)
    return found


def _cut(name: str, most: int) -> str:
    """A name without its middle."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[head + 1 - most :]}"


def _told_apart(names: Sequence[str], most: int) -> dict[str, str]:
    """Labels with what differs in the middle, and a part of what the names share around it."""
    before = _beginning(names)
    after = _beginning([name[len(before) :][::-1] for name in names])  # read backwards
    middles = {name: name[len(before) : len(name) - len(after)] for name in names}
    labels = _labels(middles.values(), max(most // 2, 3))
    room = max(1, (most - max(map(len, labels.values()))) // 2)
    start, end = _shared(before, room), _shared(after, room)[::-1]
    return {name: f"{start}{labels[middle]}{end}" for name, middle in middles.items()}


def _beginning(names: Sequence[str]) -> str:
    """With what all names begin: what the first and the last in order begin with."""
    first, last = min(names), max(names)
    agree = (one == other for one, other in zip(first, last))
    return first[: sum(takewhile(bool, agree))]


def _shared(text: str, room: int) -> str:
    """The start of a text, and the letters at its end that belong to the word that differs."""
    if len(text) <= room:
        return text
    word = re.split(r"[\W_]", text)[-1]
    near = word[max(0, len(word) - room // 3) :]
    return f"{text[: room - 1 - len(near)]}…{near}"
