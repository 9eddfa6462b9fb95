"""Hostile texts: JSON, YAML and CSV in which a value was changed, removed or added."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import yaml
from hypothesis import strategies as st
from support.hostile.cut import Draw

HOSTILE_CANARY = "canary"
"""Name of the folder that hostile code would make in the working directory."""


TEXTS = (
    "", " ", "\0", "a\0b", "..", "../../x", "/etc/passwd", "~nobody-here/x", "a/b", "a\\b", "\n",
    "\r\n", "\t", "\ufeff", "\u202e", "\u0301", "<script>alert(1)</script>", "'", '"', "{", "[",
    "nan", "inf", "-1", "0", "1e999", "0x10", "010", "1_0", "1:30", "٣", "true", "null", "=1+1",
    "%s", "{0}", "x" * 300, "x" * 70_000, "é" * 200, "9" * 400, "train", "test", "layer-0", ".",
    "(a+)+$", "[", "\ud800", "con", "-rf",
)  # fmt: skip
"""Texts that are odd as names, paths, numbers or labels."""

_NUMBERS = (
    0, -1, 1, 2, 3, 255, 256, 65_536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64,
    10**30, 0.0, -0.0, 0.5, 1e-320, 1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_DEEP = 3_000
_MARK = "\ue000{}\ue001"  # of a text in place of which raw text is written
_RAW_JSON = (
    "9" * 5_000, "-" + "9" * 5_000, "1e400", "-1e400", "0." + "1" * 5_000, "NaN", "01", "'a'",
    '{"a":' * _DEEP + "1" + "}" * _DEEP, "[" * 100_000, '"\\ud800"', '"\\u0000"',
    "[" * _DEEP + "]" * _DEEP, "", "nul", "[1,]", '{"a": 1, "a": 2}',
)  # fmt: skip
_RAW_YAML = (
    "9" * 5_000, "1e400", ".inf", ".nan", "0o17", "017", "0x1f", "1:30", "1_000", "2001-01-01",
    "2001-12-14t21:59:43.10-05:00", "yes", "off", "~", "!!binary aGVsbG8=", "!!set {a, b}",
    "!!timestamp 2001-99-99", "!!int xyz", "!!float x", "!!omap [a: 1]", "!!pairs [a: 1]",
    "!!null x", "!!bool maybe", "!unknown x", "!!python/name:os.system",
    "!!python/object/apply:os.mkdir [HOSTILE_CANARY]",
    "!!python/object/new:os.mkdir {args: [HOSTILE_CANARY]}", "&a [*a]", "&a {b: *a}", "*nothing",
    "&a x", "[" * _DEEP + "]" * _DEEP, "{a: " * _DEEP + "}" * _DEEP, "{<<: {a: 1}}", "{<<: 1}",
    "{? [a]: b}", "{? {a: b}: c}", "{a: 1, a: 2}", "{1: a, 1.0: b, true: c, null: d}", '"\\ud800"',
    '"\\0"', '"\\x07"', "[", "}", "'", "@", "%", "|\n text", "",
)  # fmt: skip
_HEADS_YAML = (
    "", "%YAML 1.2\n---\n", "%YAML 9.9\n---\n", "--- a\n--- b\n", "\ufeff", "\t", "- ",
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi")),
)  # fmt: skip
_VALUES = (
    st.one_of(
        st.sampled_from(TEXTS),
        st.sampled_from(_NUMBERS),
        st.sampled_from((None, True, False)),
        st.builds(list), st.builds(dict),
        st.lists(st.sampled_from((*TEXTS[:8], 1, -1.5, None, True)), max_size=3),
        st.dictionaries(st.sampled_from(TEXTS[:20]), st.sampled_from((1, "a", None)), max_size=2),
    )
)  # fmt: skip


def _tree(draw: Draw, valid: Any, raw: Sequence[str]) -> Any:
    """Return a value like the valid one in which some parts are removed, added or replaced."""
    value = valid
    for _ in range(draw(st.integers(1, 3))):
        paths = list(_paths(value))
        path = draw(st.sampled_from(paths))
        match draw(st.integers(0, 5)):
            case 0 if path:
                value = _with(value, path, ...)
            case 1:
                value = _with(value, path, _MARK.format(draw(st.integers(0, len(raw) - 1))))
            case 2:
                # A part of the file itself in another place.
                value = _with(value, path, _at(value, draw(st.sampled_from(paths))))
            case 3 if isinstance(_at(value, path), dict):
                name = draw(st.sampled_from(TEXTS))
                value = _with(value, path, {**_at(value, path), name: draw(_VALUES)})
            case _:
                value = _with(value, path, draw(_VALUES))
    return value


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Any:
    yield before
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(part, (*before, key))


def _at(value: Any, path: Sequence[Any]) -> Any:
    for part in path:
        value = value[part]
    return value


def _with(value: Any, path: Sequence[Any], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    if len(path) == 1 and new is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy


def _unmarked(text: str, raw: Sequence[str]) -> bytes:
    """Put raw texts in the place of their marks."""
    found = re.sub("[\"']?\ue000([0-9]+)\ue001[\"']?", lambda mark: raw[int(mark[1])], text)
    return found.encode("utf-8", "surrogatepass")


def changed_json(draw: Draw, valid: bytes) -> bytes:
    """Return JSON in which parts were removed, added or replaced."""
    value = _tree(draw, _json_value(valid), _RAW_JSON)
    return _unmarked(json.dumps(value, ensure_ascii=False), _RAW_JSON)


def changed_json_lines(draw: Draw, valid: bytes) -> bytes:
    """Return lines of JSON of which one was changed."""
    lines = valid.split(b"\n")
    chosen = draw(st.sampled_from([number for number, line in enumerate(lines) if line]))
    lines[chosen] = changed_json(draw, lines[chosen])
    return b"\n".join(lines)


@cache
def _json_value(valid: bytes) -> Any:
    return json.loads(valid)


def changed_yaml(draw: Draw, valid: bytes) -> bytes:
    """Return YAML in which parts were removed, added or replaced, or with another head."""
    value = _tree(draw, _yaml_value(valid), _RAW_YAML)
    try:
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    except yaml.YAMLError:
        text = repr(value)
    head = draw(st.sampled_from(_HEADS_YAML)) if draw(st.integers(0, 9)) == 0 else ""
    return _unmarked(head + text.replace("HOSTILE_CANARY", HOSTILE_CANARY), _RAW_YAML)


@cache
def _yaml_value(valid: bytes) -> Any:
    return yaml.safe_load(valid)


def changed_csv(draw: Draw, valid: bytes) -> bytes:
    """Return CSV in which rows, columns or cells were removed, added or replaced."""
    rows = [list(row) for row in csv.reader(io.StringIO(valid.decode(), newline=""))]
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.integers(0, max(0, len(rows) - 1)))
        if not rows or not rows[row]:
            break
        cell = draw(st.integers(0, len(rows[row]) - 1))
        match draw(st.integers(0, 6)):
            case 0:
                del rows[row]
            case 1:
                del rows[row][cell]
            case 2:
                rows[row].insert(cell, draw(st.sampled_from(TEXTS)))
            case 3:
                rows.insert(row, list(rows[draw(st.integers(0, len(rows) - 1))]))
            case 4:
                rows = [[*cells[:cell], *cells[cell + 1 :]] for cells in rows]
            case _:
                rows[row][cell] = draw(st.sampled_from(TEXTS))
    text = io.StringIO(newline="")
    if draw(st.booleans()):
        csv.writer(text, delimiter=draw(st.sampled_from(",;\t"))).writerows(rows)
    else:
        text.write("\n".join(",".join(cells) for cells in rows))
    return text.getvalue().encode("utf-8", "surrogatepass")
