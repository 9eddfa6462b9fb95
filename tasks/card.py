"""Task cards: one YAML file a task, beside this module, that says what the task is.

A card has every field of ``Card``, with ``null`` for what is not known. Adding a task is adding
its file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from harness.errors import UserError, did_you_mean

EMBEDDING_TYPES = ("scene", "event")
PREDICTION_TYPES = ("multiclass", "multilabel")
SPLIT_MODES = ("trainvaltest", "new_split_kfold", "presplit_kfold")


@dataclass(frozen=True)
class Published:
    """Where a task directory is published: a record of an archive, and the file in it."""

    record: str
    file: str


@dataclass(frozen=True)
class Source:
    """A raw corpus or package that a task was made from; checksums are hexadecimal."""

    name: str
    version: str | None
    url: str | None
    md5: str | None
    sha256: str | None


@dataclass(frozen=True)
class Card:
    """What is known about one task directory.

    Attributes:
        name: what the task is called on the command line; the card's file is ``<name>.yaml``.
        title: a name for people, in tables and pages.
        board_name: the row or column of a published board that the task counts to; tasks that
            share one are averaged there. None when it is on no board.
        suite: the suite that the task belongs to.
        directory: name of the task directory, ``<task_name>-<version>-<mode>``.
        domain: ``speech``, ``music``, ``environment`` and the like.
        embedding_type: ``scene`` or ``event``.
        prediction_type: ``multiclass`` or ``multilabel``.
        split_mode: ``trainvaltest``, ``new_split_kfold`` or ``presplit_kfold``.
        folds: number of folds; None with ``trainvaltest``.
        clip_seconds: length of every clip in seconds; None where lengths differ.
        clips: number of clips in all splits.
        n_test: number of clips that are tested on; with folds, all of them.
        classes: number of labels in the vocabulary.
        hours: hours of audio in all splits.
        metrics: in order, the first being the task's score.
        published: where the task directory can be had; None when it is not published.
        sources: what the task was made from.
        licence: SPDX name of the licence of the clips.
        citation: BibTeX.
        oddities: what a user should know before trusting a score, a sentence each.
        published_scores: lowest and highest published value of the first metric.
    """

    name: str
    title: str
    board_name: str | None
    suite: str
    directory: str
    domain: str
    embedding_type: str
    prediction_type: str
    split_mode: str
    folds: int | None
    clip_seconds: float | None
    clips: int | None
    n_test: int | None
    classes: int | None
    hours: float | None
    metrics: tuple[str, ...]
    published: Published | None
    sources: tuple[Source, ...]
    licence: str | None
    citation: str | None
    oddities: tuple[str, ...]
    published_scores: tuple[float, float] | None


@cache
def cards() -> Mapping[str, Card]:
    """Return all cards by name, in alphabetical order.

    Raises:
        UserError: when a card does not fit the schema, naming the file and the field.
    """
    texts = {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for entry in files(__package__).iterdir()
        if entry.name.endswith(".yaml")
    }
    return MappingProxyType({name: read_card(texts[name], name) for name in sorted(texts)})


def card(name: str) -> Card:
    """Return the card of that name.

    Raises:
        UserError: when there is none, suggesting the nearest name.
    """
    found = cards().get(name)
    if found is None:
        raise UserError(
            f"There is no task '{name}'.{did_you_mean(name, cards())} Known: {', '.join(cards())}."
        )
    return found


def suites() -> Mapping[str, tuple[Card, ...]]:
    """Return the cards of each suite, in alphabetical order."""
    found: dict[str, tuple[Card, ...]] = {}
    for each in cards().values():
        found[each.suite] = (*found.get(each.suite, ()), each)
    return found


def read_card(text: str, name: str) -> Card:
    """Read a card's YAML and check it against the schema.

    Args:
        text: the file's content.
        name: the file's name without ``.yaml``, which must be the card's ``name``.

    Raises:
        UserError: naming the file, the field, what is allowed and what was found.
    """
    try:
        raw = yaml.safe_load(text)
        read = Card(**_record(_CARD)(raw, ""))
        _check_together(read, name)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"The card {name}.yaml is wrong: {error}") from error
    return read


_Reader = Callable[[Any, str], Any]
"""Takes a raw value and its field's name; returns the value to keep, or raises ValueError."""


def _check_together(card: Card, name: str) -> None:
    if card.name != name:
        raise ValueError(f"field 'name' must be '{name}', like the file, not '{card.name}'.")
    if (card.split_mode == "trainvaltest") != (card.folds is None):
        raise ValueError(
            f"field 'folds' must be null with split_mode trainvaltest, and a number otherwise; "
            f"split_mode is {card.split_mode}, folds is {card.folds}."
        )


def _wrong(field: str, allowed: str, raw: object) -> ValueError:
    return ValueError(f"field '{field}' must be {allowed}, not {raw!r}.")


def _text(raw: Any, field: str) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise _wrong(field, "text", raw)
    return raw.strip()


def _number(raw: Any, field: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw < math.inf:
        raise _wrong(field, "a number from 0 up", raw)
    return float(raw)


def _count(raw: Any, field: str) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 1:
        raise _wrong(field, "a whole number from 1 up", raw)
    return raw


def _hexadecimal(digits: int) -> _Reader:
    def read(raw: Any, field: str) -> str:
        if not isinstance(raw, str) or not re.fullmatch(f"[0-9a-f]{{{digits}}}", raw):
            raise _wrong(field, f"{digits} lower-case hexadecimal digits in quotes", raw)
        return raw

    return read


def _one_of(choices: Sequence[str]) -> _Reader:
    def read(raw: Any, field: str) -> str:
        if raw not in choices:
            raise _wrong(field, f"one of {', '.join(choices)}", raw)
        return str(raw)

    return read


def _directory(raw: Any, field: str) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"[\w.]+(-[\w.]+){2,}", raw):
        raise _wrong(field, "<task_name>-<version>-<mode>", raw)
    return raw


def _or_null(reader: _Reader) -> _Reader:
    return lambda raw, field: None if raw is None else reader(raw, field)


def _list(reader: _Reader, shortest: int = 0) -> _Reader:
    def read(raw: Any, field: str) -> tuple[Any, ...]:
        if not isinstance(raw, list) or len(raw) < shortest:
            raise _wrong(field, f"a list of {shortest} or more", raw)
        return tuple(reader(value, f"{field}[{i}]") for i, value in enumerate(raw))

    return read


def _interval(raw: Any, field: str) -> tuple[float, float]:
    if not isinstance(raw, list) or len(raw) != 2:
        raise _wrong(field, "[lowest, highest]", raw)
    low, high = (_number(value, field) for value in raw)
    if low > high:
        raise _wrong(field, "[lowest, highest]", raw)
    return low, high


def _record(schema: Mapping[str, _Reader], make: Callable[..., Any] = dict) -> _Reader:
    """Read a mapping that has exactly the schema's keys."""

    def read(raw: Any, field: str) -> Any:
        prefix = f"{field}." if field else ""
        if not isinstance(raw, dict):
            raise ValueError(f"{field or 'it'} must hold fields and values, not {raw!r}.")
        for key in raw:
            if key not in schema:
                raise ValueError(
                    f"there is no field '{prefix}{key}'.{did_you_mean(str(key), schema)}"
                )
        for key in schema:
            if key not in raw:
                raise ValueError(f"field '{prefix}{key}' is missing (null when not known).")
        return make(**{key: reader(raw[key], prefix + key) for key, reader in schema.items()})

    return read


_SOURCE: Mapping[str, _Reader] = {
    "name": _text,
    "version": _or_null(_text),
    "url": _or_null(_text),
    "md5": _or_null(_hexadecimal(32)),
    "sha256": _or_null(_hexadecimal(64)),
}

_CARD: Mapping[str, _Reader] = {
    "name": _text,
    "title": _text,
    "board_name": _or_null(_text),
    "suite": _text,
    "directory": _directory,
    "domain": _text,
    "embedding_type": _one_of(EMBEDDING_TYPES),
    "prediction_type": _one_of(PREDICTION_TYPES),
    "split_mode": _one_of(SPLIT_MODES),
    "folds": _or_null(_count),
    "clip_seconds": _or_null(_number),
    "clips": _or_null(_count),
    "n_test": _or_null(_count),
    "classes": _or_null(_count),
    "hours": _or_null(_number),
    "metrics": _list(_text, shortest=1),
    "published": _or_null(_record({"record": _text, "file": _text}, Published)),
    "sources": _list(_record(_SOURCE, Source)),
    "licence": _or_null(_text),
    "citation": _or_null(_text),
    "oddities": _list(_text),
    "published_scores": _or_null(_interval),
}
