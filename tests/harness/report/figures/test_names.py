"""Labels: short, and different where the names are."""

from __future__ import annotations

import random

import pytest

from harness.report.figures.names import shorten

RATES = [f"byola-v2-audioset-lr{n}e-4-batch256-seed0" for n in (1, 2, 3, 4)]
GRID = [
    f"byola-v2-audioset-lr{rate}e-4-batch{batch}-seed{seed}"
    for rate in (1, 2, 3, 4)
    for batch in (64, 128, 256)
    for seed in range(3)
]


@pytest.mark.parametrize(
    ("name", "most", "short"),
    [
        ("short", 10, "short"),
        ("a-very-long-name", 9, "a-ve…name"),
        ("bell\x07\x00", 10, "bell\ufffd\ufffd"),
        ("two\nlines", 10, "two\ufffdlines"),
    ],
)
def test_long_names_are_cut_in_their_middle(name, most, short):
    assert shorten([name], most) == [short]


def test_what_tells_names_apart_is_kept():
    assert shorten(RATES[:2], 26) == ["byola-v2-…lr1e…h256-seed0", "byola-v2-…lr2e…h256-seed0"]
    ends = ["a" * 30 + middle + "b" * 30 for middle in ("", "1", "22")]
    assert shorten(ends, 17) == ["aaaa…aabb…bbbb", "aaaa…aa1bb…bbbb", "aaaa…aa22bb…bbbb"]


@pytest.mark.parametrize("most", [14, 17, 20, 24, 26])
def test_names_that_differ_in_one_place_keep_to_the_width(most):
    labels = shorten(RATES, most)
    assert [label.count(f"lr{n}e") for n, label in enumerate(labels, start=1)] == [1] * 4
    assert max(map(len, labels)) <= most


def test_labels_are_longer_where_nothing_else_tells_names_apart():
    labels = shorten(GRID, 14)
    assert len(set(labels)) == len(GRID)
    assert max(map(len, shorten(GRID, 26))) <= 26


def test_equal_names_have_equal_labels_and_none_have_none():
    assert shorten(["x" * 40, "x" * 40], 9) == ["xxxx…xxxx"] * 2
    assert shorten([], 9) == []


def test_different_names_stay_different():
    rng = random.Random(0)
    for _ in range(200):
        parts = [["".join(rng.choices("ab1-…", k=rng.randrange(12))) for _ in "12"] for _ in "1234"]
        names = list({"".join(map(rng.choice, parts)) for _ in range(12)})
        assert len(set(shorten(names, rng.choice([3, 8, 26])))) == len(names)
