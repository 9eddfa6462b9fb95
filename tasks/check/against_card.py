"""Compare a task directory with its card."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.audio import present_rates
from tasks.cards.builtin import card_of_directory
from tasks.cards.card import Card
from tasks.cards.cardfile import card_in
from tasks.check.finding import Finding
from tasks.format.directory import Contents
from tasks.format.files import METADATA, VOCABULARY

_HOURS_SLACK = 0.01  # relative; cards and papers round the hours
_FEWEST_HOURS = 0.0001  # the last digit of hours on a card
_SECONDS_SLACK = 0.01


def card_for(directory: Path) -> Card | None:
    """Return the card inside a task directory, else the package's card of the directory's name.

    The card inside may belong to another directory (:func:`tasks.cards.cardfile.misplaced`).

    Raises:
        UserError: the card inside is invalid.
    """
    return card_in(directory) or card_of_directory(directory.resolve().name)


def compare(
    card: Card, directory: Path, contents: Contents, seconds: Mapping[int, float]
) -> Iterator[Finding]:
    """Yield every difference between the readable parts of a directory and the known card fields.

    It is an error if the task's score is of a different kind than the card's, else a warning.

    Args:
        card: the card of the task.
        directory: the task directory.
        contents: the readable parts of the directory.
        seconds: total length of the valid clips by sample rate; empty if none was decoded.
    """
    yield from _kind(card, contents.fields)
    yield from _sizes(card, contents)
    yield from _sound(card, directory, seconds)
    yield from _metadata(card, directory)


def _kind(card: Card, fields: Mapping[str, Any]) -> Iterator[Finding]:
    for key in ("embedding_type", "prediction_type", "split_mode"):
        if key in fields and fields[key] != getattr(card, key):
            yield _differs("error", METADATA, key, fields[key], card, getattr(card, key))
    if card.folds is not None and len(fields.get("splits", ())) not in (0, card.folds):
        yield _differs(
            "error", METADATA, "number of folds", len(fields["splits"]), card, card.folds
        )
    here, there = tuple(fields.get("evaluation", card.metrics)), card.metrics
    if here[0] != there[0]:
        yield _differs("error", METADATA, "first metric, the score,", here[0], card, there[0])
    elif here != there:
        yield _differs("warning", METADATA, "metrics", ", ".join(here), card, ", ".join(there))
    if card.clip_seconds is not None and "sample_duration" in fields:
        length = fields["sample_duration"]
        if length is None or abs(length - card.clip_seconds) > _SECONDS_SLACK:
            text = "null" if length is None else f"{length:g}"
            yield _differs(
                "warning", METADATA, "sample_duration", text, card, f"{card.clip_seconds:g} s"
            )


def _sizes(card: Card, contents: Contents) -> Iterator[Finding]:
    sizes = {split: len(listed) for split, listed in contents.clips.items()}
    splits = contents.fields.get("splits", ())
    known = [(f"{split}.json", sizes.get(split), card.split_clips.get(split)) for split in splits]
    if "test" in splits and "test" not in card.split_clips:
        known.append(("test.json", sizes.get("test"), card.n_test))
    if set(sizes) == set(splits):
        known.append(("", sum(sizes.values()), card.clips))
    for file, here, there in known:
        if here is not None and there is not None and here != there:
            yield _differs("warning", file, "number of clips", f"{here:,}", card, f"{there:,}")
    if contents.labels and card.classes not in (None, len(contents.labels)):
        count = len(contents.labels)
        yield _differs("warning", VOCABULARY, "number of labels", count, card, card.classes)


def _sound(card: Card, directory: Path, seconds: Mapping[int, float]) -> Iterator[Finding]:
    for rate, length in seconds.items():
        hours = length / 3600.0
        slack = max(_HOURS_SLACK * (card.hours or 0.0), _FEWEST_HOURS)
        if card.hours is not None and abs(hours - card.hours) > slack:
            yield _differs(
                "warning", str(rate), "length of all clips", f"{hours:.4g} h", card, card.hours
            )
    published, rates = _published_rate(card), present_rates(directory)
    if published is not None and rates and published not in rates:
        text = ", ".join(map(str, rates))
        yield _differs("warning", "", "audio's sample rate in Hz", text, card, published)


def _metadata(card: Card, directory: Path) -> Iterator[Finding]:
    if card.metadata_md5 is None or not (directory / METADATA).is_file():
        return
    md5 = hashlib.md5((directory / METADATA).read_bytes(), usedforsecurity=False).hexdigest()
    if md5 != card.metadata_md5:
        yield _differs("warning", METADATA, "md5", md5, card, card.metadata_md5)


def _published_rate(card: Card) -> int | None:
    """Return the sample rate in the name of the published archive, or None."""
    found = re.search(r"-([0-9]+)\.tar", card.published.file if card.published else "")
    return int(found[1]) if found else None


def _differs(
    severity: str, file: str, what: str, here: object, card: Card, there: object
) -> Finding:
    return Finding(severity, file, f"the {what} is {here}; the card {card.name} has {there}.")
