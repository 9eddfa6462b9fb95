"""Counts with their nouns, also in the messages of a run of one task."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import harness
import tasks
from harness.core.counts import abridged, first_of, in_range, plural


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 classes"), (1, "1 class"), (2, "2 classes"), (1200, "1,200 classes")]
)
def test_a_noun_agrees_with_its_number(count, said):
    assert plural(count, "class", "classes") == said


def test_most_nouns_take_an_s():
    assert [plural(n, "test clip") for n in (1, 2)] == ["1 test clip", "2 test clips"]


def test_no_message_spells_a_length_with_a_fixed_plural():
    # A count before "of" is another number's part: "1 of 3 clips".
    fixed = re.compile(
        r"(?<!of )\{len\([^{}]*\)(?::,)?\} (?:clips|tasks|files|folds|rows|models|trainings|"
        r"groups|evaluations|splits)\b"
    )
    found = [
        f"{path.name}: {line.strip()}"
        for package in (harness, tasks)
        for path in Path(package.__path__[0]).rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if fixed.search(line) and "== 1" not in line
    ]
    allowed = ("they count as {len(same)} groups",)  # two or more by construction
    assert [line for line in found if not any(each in line for each in allowed)] == []


def test_long_lists_show_their_first() -> None:
    assert first_of("abc", 3) == ["a", "b", "c"]
    assert first_of("abcde", 3) == ["a", "b", "c", "and 2 more"]
    assert abridged("abc", 3) == "a, b, c"
    assert abridged("abcd", 3) == "a, b, c, ..."
    assert abridged("", 3) == ""


@pytest.mark.parametrize(
    ("counts", "said"),
    [({3}, "3 draws"), ({1}, "1 draw"), ({2, 10, 3}, "2 to 10 draws"), (set(), "0 draws")],
)
def test_a_range_of_counts(counts: set[int], said: str) -> None:
    assert in_range(counts, "draw") == said
