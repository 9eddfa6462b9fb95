"""YAML that people write: names as typed, decimal numbers."""

from __future__ import annotations

import pytest

from hear_byola.core import yamltext


def test_a_number_is_one_where_its_text_is_not_lost():
    read = yamltext.load(
        "a: [10, -3, 0.5, 1e-05]\n"
        "b: [010, 1_000, 1:30, 0x10, 1.10, 1e-3, 2022-01-01, yes, on, '5']\n"
        "c: [true, False, null, ~, '']\n010: x\ntrue: y\n"
    )
    assert read == {
        "a": [10, -3, 0.5, 1e-05],
        "b": ["010", "1_000", "1:30", "0x10", "1.10", "1e-3", "2022-01-01", "yes", "on", "5"],
        "c": [True, False, None, None, ""],
        "010": "x",
        "true": "y",
    }


def test_anchors_and_merges_are_read():
    read = yamltext.load("base: &base {d: 512}\narms:\n  a: *base\n  b: {<<: *base, epochs: 3}\n")
    assert read["arms"] == {"a": {"d": 512}, "b": {"d": 512, "epochs": 3}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [", "line [23]: "),
        ("a: 1\nb: {c: 1, c: 2}", "line 2: field 'c' occurs twice"),
        ("a: !!python/object/apply:os.getcwd []", "line 1: could not determine a constructor"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, said):
    with pytest.raises(ValueError, match=said):
        yamltext.load(text)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefg", "bcdefgh")
)


@pytest.mark.parametrize(
    "text",
    ["[" * 5_000 + "]" * 5_000, "[" * 1_000_000, BOMB, "a: &a [*a]", "a: *b", "a: &a {b: *a}"],
    ids=["deep", "very deep", "bomb", "itself", "unknown alias", "itself in a mapping"],
)
def test_what_would_exhaust_stack_or_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"levels|alias") as refused:
        yamltext.load(text)
    assert len(str(refused.value)) < 200


def test_aliases_that_people_write_are_read() -> None:
    text = "base: &base {lr: 0.1, steps: [1, 2]}\none: *base\nother: {<<: *base, lr: 1}"
    content = yamltext.load(text)
    assert content["one"] == content["base"] == {"lr": 0.1, "steps": [1, 2]}
    assert content["other"] == {"lr": 1, "steps": [1, 2]}
