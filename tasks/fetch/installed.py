"""Record the installed files in the task directory, and compare the directory with the record.

bagit, the usual library for such records, does not keep HEAR's layout: it moves all files below
``data/``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from harness.core.counts import abridged, plural
from harness.core.errors import UserError
from harness.core.files import write_file
from hear_byola.core import jsontext
from tasks.cards.card import Card
from tasks.fetch.archive import Archive
from tasks.format.files import METADATA

RECORD = ".fetched"
"""A JSON file. Its name does not end in ``.json``, because that is the suffix of split tables."""

_FORMAT = 1


@dataclass(frozen=True)
class Inventory:
    """The number of files of a task directory, and their total size in bytes."""

    files: int
    size: int

    def __str__(self) -> str:
        """Return both in words."""
        return f"{plural(self.files, 'file')}, {decimal(self.size)}"


def write_record(directory: Path, card: Card, archive: Archive) -> Inventory:
    """Write the record of a task directory: sizes of all files, md5 of the tables.

    Raises:
        UserError: the directory has no metadata, so it is not a task.
    """
    if not (directory / METADATA).is_file():
        raise UserError(
            f"{archive.file} contains no {METADATA}, so it is not the archive of a task."
        )
    if card.published is None:
        raise ValueError(f"{card.name} is not published")
    sizes = dict(_sizes(directory, ""))
    content = {
        "format": _FORMAT,
        "archive": {
            "record": card.published.record,
            "file": archive.file,
            "size": archive.size,
            "md5": archive.md5,
            "md5_from": archive.witness if archive.md5 else None,
            "place": re.sub("//[^/]*@", "//", str(archive.place)),  # without a password
        },
        "sizes": sizes,
        "md5": {name: _md5(directory / name) for name in sizes if "/" not in name},
    }
    write_file(directory / RECORD, json.dumps(content, indent=0, sort_keys=True))
    return Inventory(len(sizes), sum(sizes.values()))


def verify(directory: Path, card: Card) -> Inventory | None:
    """Compare a task directory with the record of its installation.

    Files that were added, such as audio at other rates, are ignored.

    Returns:
        The installed files; None if the directory has no record.

    Raises:
        UserError: files are missing or changed, or the card names another version.
    """
    if not (directory / RECORD).is_file():
        if not (directory / METADATA).is_file():
            raise UserError(
                f"{directory} exists, but is not a task: it has no {METADATA}. Move it."
            )
        return None
    archive, sizes, md5 = _read_record(directory)
    if card.published is not None and archive.get("file") != card.published.file:
        raise UserError(
            f"{directory} was installed from {archive.get('file')}, but the card names "
            f"{card.published.file}. Remove the folder to fetch it."
        )
    here = dict(_sizes(directory, ""))
    wrong = {
        "missing": [name for name in sizes if name not in here],
        "of another size": [name for name, size in sizes.items() if here.get(name, size) != size],
        "changed": [
            name
            for name, digest in md5.items()
            if here.get(name, -1) == sizes.get(name) and _md5(directory / name) != digest
        ],
    }
    findings = [
        f"{len(names)} {what} ({abridged(names, 2)})" for what, names in wrong.items() if names
    ]
    if findings:
        raise UserError(
            f"{directory} has changed since its installation: of {plural(len(sizes), 'file')}, "
            f"{'; '.join(findings)}. Remove the folder to fetch it again."
        )
    return Inventory(len(sizes), sum(sizes.values()))


def unlike_published(directory: Path) -> list[str]:
    """Return the tables of a fetched task that are missing or differ from its archive.

    The list is empty if there is no readable record.
    """
    try:
        _, _, md5 = _read_record(directory)
        return [name for name, digest in md5.items() if _md5_if_there(directory / name) != digest]
    except (UserError, OSError):
        return []


def _read_record(directory: Path) -> tuple[dict[str, object], dict[str, int], dict[str, str]]:
    path = directory / RECORD
    try:
        content = jsontext.load(path.read_bytes())
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {_FORMAT}")
        return dict(content["archive"]), dict(content["sizes"]), dict(content["md5"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read ({error}), so the task cannot be verified. Remove that file to "
            "use the task as it is, or the whole folder to fetch it again."
        ) from error


def _sizes(directory: Path | str, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield (path with slashes, bytes) of each file below a folder, but not of the record."""
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                yield from _sizes(entry.path, f"{prefix}{entry.name}/")
            elif prefix + entry.name != RECORD:
                yield prefix + entry.name, entry.stat().st_size


def _md5_if_there(path: Path) -> str:
    return _md5(path) if path.is_file() else ""


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
