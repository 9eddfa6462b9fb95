"""Task cards: one YAML file a task, beside this module, that says what the task is.

A card has every field of ``Card``, with ``null`` for what is not known. Adding a task is adding
its file.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from harness.core.errors import UserError, did_you_mean
from harness.core.files import write_file
from harness.metrics.registry import METRICS
from tasks.cards import checks as card_checks
from tasks.cards.fields import (
    Reader,
    count,
    counts,
    dump,
    group_pattern,
    interval,
    list_of,
    load,
    matching,
    number,
    one_of,
    or_null,
    record,
    text,
)

EMBEDDING_TYPES = ("scene", "event")
PREDICTION_TYPES = ("multiclass", "multilabel")
SPLIT_MODES = ("trainvaltest", "new_split_kfold", "presplit_kfold")

CARD = "card.yaml"
"""The card inside a task directory, of a task that has none here."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Published:
    """Where a task directory is published: a Zenodo record, and the archive in it."""

    record: str
    file: str


@dataclass(frozen=True)
class Source:
    """A file or package that a task was made from; checksums are hexadecimal."""

    name: str
    version: str | None
    url: str | None
    md5: str | None
    sha256: str | None


@dataclass(frozen=True)
class Card:
    """What is known about one task directory.

    Attributes:
        name: what the task is called on the command line; the card's file is ``<name>.yaml``. The
            directory's task name, with ``_<mode>`` where several modes have cards.
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
        hours: hours of audio in all splits, as padded and trimmed.
        metrics: in order, the first being the task's score.
        published: where the task directory can be had; None when it is not published.
        sources: what the task was made from, a file or package each.
        licence: SPDX expression of the licence of the clips; None when none is stated.
        citation: BibTeX.
        oddities: what a user should know before trusting a score, a sentence or two each, with
            its source where that is not in ``facts_from``.
        published_scores: lowest and highest published value of the first metric, in its own
            unit (accuracies are fractions).
        facts_from: where the card's facts were taken from.
        split_clips: number of clips of each split; of splits where it is known.
        metadata_md5: of the directory's task_metadata.json; None when not known.
        group_pattern: regular expression that matches every clip's name and captures its group,
            used for a directory without groups.csv; None if names do not contain groups.
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
    facts_from: tuple[str, ...] = ()
    split_clips: Mapping[str, int] = field(default_factory=dict, hash=False)
    metadata_md5: str | None = None
    group_pattern: str | None = None


@cache
def cards() -> Mapping[str, Card]:
    """Return all cards by name, in alphabetical order, but wrong ones, which are warned of."""
    found = {}
    for name, path in _files().items():
        try:
            found[name] = _read(path, name)
        except UserError as error:
            # Other tasks are worked with while a new card is being written.
            warnings.warn(f"{error} It is left out.", stacklevel=2)
    return MappingProxyType(found)


def is_card(name: str) -> bool:
    """Whether there is a card of that name, be it right or wrong."""
    return name in cards() or name in _files()


def _files() -> Mapping[str, Path]:
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def _read(path: Path, name: str | None) -> Card:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The card {path} cannot be read: {error}.") from error
    return read_card(text, name, path)


def card(name: str) -> Card:
    """Return the card of that name.

    Raises:
        UserError: there is none, with the nearest name; or as :func:`read_card`.
    """
    found = cards().get(name)
    if found is None and (path := _files().get(name)) is not None:
        return _read(path, name)
    if found is None:
        raise UserError(
            f"There is no task '{name}' with a card.{did_you_mean(name, cards())} "
            "`hear-byola tasks list` names them all."
        )
    return found


def card_of_directory(directory_name: str) -> Card | None:
    """Return the card of the task directory of that name, or None when it has none."""
    return next((each for each in cards().values() if each.directory == directory_name), None)


def card_in(directory: Path) -> Card | None:
    """Return the card inside a task directory, or None when it has none.

    Raises:
        UserError: as :func:`read_card`.
    """
    path = directory / CARD
    return _read(path, None) if path.is_file() else None


def misplaced(card: Card, directory: Path) -> str | None:
    """Return a sentence when the card inside a task directory is of another one, else None."""
    name = directory.resolve().name
    if card.directory == name:
        return None
    return (
        f"{directory / CARD} is the card of {card.directory}, and the folder is called {name}: "
        "rename the folder, or change 'name' and 'directory' on the card."
    )


def suites() -> Mapping[str, tuple[Card, ...]]:
    """Return the cards of each suite, in alphabetical order."""
    found: dict[str, tuple[Card, ...]] = {}
    for each in cards().values():
        found[each.suite] = (*found.get(each.suite, ()), each)
    return found


def read_card(yaml_text: str, name: str | None, path: Path | None = None) -> Card:
    """Read a card's YAML and check it against the schema, then its fields against each other.

    Args:
        yaml_text: the file's content.
        name: what the card's ``name`` must be: that of its file without ``.yaml``; None for any.
        path: of the file, for errors; ``<name>.yaml`` when None.

    Raises:
        UserError: naming the file, the field, what is allowed and what was found.
    """
    try:
        read: Card = record(_CARD, Card, _OPTIONAL)(load(yaml_text), "")
        if name is not None:
            card_checks.check_name(read, name)
        card_checks.check_together(read)
    except ValueError as error:
        raise UserError(f"The card {path or f'{name}.yaml'} is wrong: {error}") from error
    return read


def write_card(card: Card) -> str:
    """Return a card as YAML, which :func:`read_card` reads back to the same card."""
    fields = dataclasses.asdict(card)
    return dump({key: value for key, value in fields.items() if value or key not in _OPTIONAL})


def add_card(card: Card, directory: Path) -> bool:
    """Write a card into a task directory that has none; whether it had none.

    One that is there may have been mended by hand.
    """
    path = directory / CARD
    if path.exists():
        return False
    write_file(path, write_card(card))
    return True


def refuse_value(field: str, value: object, called: str) -> None:
    """Raise UserError where a card's field cannot hold a value, with what that is called."""
    try:
        _CARD[field](value, field)
        if field == "domain":
            card_checks.check_domain(str(value))
    except ValueError as error:
        raise UserError(f"{called}: {error}") from error


_URL = matching(r"https?://\S+", "a web address")
_MD5 = matching("[0-9a-f]{32}", "32 lower-case hexadecimal digits in quotes")

# Of https://spdx.org/licenses/ what recordings and data are under.
_LICENCE = "|".join(
    (
        r"CC0-1\.0|CC-PDDC|CC-(BY|BY-NC|BY-NC-ND|BY-NC-SA|BY-ND|BY-SA)-[1-4]\.[05](-[A-Z]{2,3})?",
        r"PDDL-1\.0|ODbL-1\.0|ODC-By-1\.0|CDLA-Permissive-[12]\.0|CDLA-Sharing-1\.0",
        r"OGL-UK-[123]\.0|OGL-Canada-2\.0|DL-DE-(BY|ZERO)-2\.0|etalab-2\.0|LAL-1\.[23]|NIST-PD",
        r"MIT|MIT-0|ISC|Zlib|0BSD|BSD-[1-4]-Clause|Apache-2\.0|MPL-2\.0|Artistic-2\.0|Unlicense",
        r"(GPL-[23]|LGPL-2\.1|LGPL-3|AGPL-3|GFDL-1\.[123])(\.0)?-(only|or-later)",
        r"LicenseRef-[A-Za-z0-9.-]+",
    )
)

_SOURCE: Mapping[str, Reader] = {
    "name": text,
    "version": or_null(text),
    "url": or_null(_URL),
    "md5": or_null(_MD5),
    "sha256": or_null(matching("[0-9a-f]{64}", "64 lower-case hexadecimal digits in quotes")),
}

_PUBLISHED: Mapping[str, Reader] = {
    "record": matching("[0-9]+", "the number of a Zenodo record, in quotes"),
    "file": matching(r"[\w.-]+", "a file name"),
}

_CARD: Mapping[str, Reader] = {
    "name": text,
    "title": text,
    "board_name": or_null(text),
    "suite": matching("[a-z0-9_-]+", "a word in lower case"),
    "directory": matching(
        r"[\w.]+(-[\w.]+)+-(full|small|synthetic|\d+h)",
        "<task_name>-<version>-<mode>, the mode being full, small, synthetic or hours like 5h",
    ),
    "domain": text,
    "embedding_type": one_of(EMBEDDING_TYPES),
    "prediction_type": one_of(PREDICTION_TYPES),
    "split_mode": one_of(SPLIT_MODES),
    "folds": or_null(count),
    "clip_seconds": or_null(number),
    "clips": or_null(count),
    "n_test": or_null(count),
    "classes": or_null(count),
    "hours": or_null(number),
    "metrics": list_of(one_of(tuple(METRICS)), shortest=1),
    "published": or_null(record(_PUBLISHED, Published)),
    "sources": list_of(record(_SOURCE, Source)),
    "licence": or_null(
        matching(
            rf"({_LICENCE})( (AND|OR) ({_LICENCE}))*",
            "an SPDX expression, as CC-BY-4.0, or LicenseRef- and a word for what SPDX does not "
            "list",
        )
    ),
    "citation": or_null(text),
    "oddities": list_of(text),
    "published_scores": or_null(interval),
    "facts_from": list_of(text),
}

_OPTIONAL: Mapping[str, Reader] = {
    "split_clips": counts,
    "metadata_md5": or_null(_MD5),
    "group_pattern": or_null(group_pattern),
}
