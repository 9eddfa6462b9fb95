"""Shorten names to labels of one line; different names get different labels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import takewhile

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def xml_safe(text: str) -> str:
    """Replace the characters that XML or UTF-8 cannot contain; keep line breaks and tabs."""
    return _UNPRINTABLE.sub("\ufffd", text)


def shorten(names: Sequence[str], most: int = 26) -> list[str]:
    """Return one-line labels of at most ``most`` characters, all different.

    Long names are cut in the middle, or in the part that they share if the labels would be equal.
    Labels exceed ``most`` characters if shorter ones would be equal.
    """
    names = [re.sub(r"[\t\n\r]", "\ufffd", xml_safe(name)) for name in names]
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
        found |= {group[0]: label} if len(group) == 1 else _distinguished(group, most)
    return found


def _cut(name: str, most: int) -> str:
    """Return a name without its middle."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[head + 1 - most :]}"


def _distinguished(names: Sequence[str], most: int) -> dict[str, str]:
    """Return labels with the part that differs, and pieces of the shared parts around it."""
    before = _beginning(names)
    after = _beginning([name[len(before) :][::-1] for name in names])  # read backwards
    middles = {name: name[len(before) : len(name) - len(after)] for name in names}
    labels = _labels(middles.values(), max(most // 2, 3))
    room = max(1, (most - max(map(len, labels.values()))) // 2)
    start, end = _shared(before, room), _shared(after, room)[::-1]
    return {name: f"{start}{labels[middle]}{end}" for name, middle in middles.items()}


def _beginning(names: Sequence[str]) -> str:
    """Return the common beginning of all names: that of the first and the last in order."""
    first, last = min(names), max(names)
    agree = (one == other for one, other in zip(first, last))
    return first[: sum(takewhile(bool, agree))]


def _shared(text: str, room: int) -> str:
    """Return the start of a text, and its last letters if they belong to the differing word."""
    if len(text) <= room:
        return text
    word = re.split(r"[\W_]", text)[-1]
    near = word[max(0, len(word) - room // 3) :]
    return f"{text[: room - 1 - len(near)]}…{near}"
