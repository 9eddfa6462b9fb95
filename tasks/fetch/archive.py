"""Where a task's archive is read from, and what it must be: size and md5."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.core.errors import UserError, did_you_mean
from harness.core.files import write_file
from tasks.cards.card import ZenodoArchive
from tasks.fetch.tries import Tries
from tasks.fetch.web import Passing, Web, span

API = "https://zenodo.org/api"
"""Zenodo's API, which lists a record at ``records/<id>`` and serves its files below that."""

_SUMS = ("{file}.md5", "md5sums.txt", "md5sums", "MD5SUMS")
"""Files beside a mirror's archives that may tell their md5."""


_LATER = ". Run the same command later, or name a --mirror that has the archives"
_ENDLESS = (RecursionError, OverflowError)  # of brackets, of a number


@dataclass(frozen=True)
class Archive:
    """An archive to fetch.

    Attributes:
        file: its name.
        place: an address, or a path when it is in a local mirror.
        size: bytes; None when nobody tells.
        md5: hexadecimal; None when nobody tells.
        witness: who tells the md5, for people; without an md5, why the record does not.
    """

    file: str
    place: str | Path
    size: int | None
    md5: str | None
    witness: str


@dataclass(frozen=True)
class _Listed:
    size: int
    md5: str


class Locator:
    """Finds archives in the records that publish them, or in a mirror.

    A mirror is a folder, or the address of one, that holds archives under their published names.
    Size and md5 come from the record's listing where that can be reached; else the md5 comes from
    a file beside the archive.
    """

    def __init__(self, web: Web, mirror: str | None = None, api: str | None = None) -> None:
        self._web = web
        self._api = api or API
        self._mirror = None if mirror is None else _mirror(mirror)
        self._records: dict[str, dict[str, _Listed] | UserError] = {}

    def locate(self, published: ZenodoArchive, say: Callable[[str], None]) -> Archive:
        """Return where the archive is.

        Raises:
            UserError: it is in none of the places where it should be.
        """
        if self._mirror is None:
            listed = self._listed(published, say)
            place = f"{self._record(published)}/files/{quote(published.file)}/content"
            witness = f"record {published.record}"
            return Archive(published.file, place, listed.size, listed.md5, witness)
        try:
            known = self._listed(published, say)
        except UserError as error:
            return self._in_mirror(published.file, str(error), say)
        here = self._in_mirror(published.file, None, say)
        if here.size not in (None, known.size):
            raise UserError(
                f"{here.place} has {here.size:,} bytes; record {published.record} lists "
                f"{known.size:,}: it is not the published archive."
            )
        witness = f"record {published.record}"
        return Archive(here.file, here.place, known.size, known.md5, witness)

    def _record(self, published: ZenodoArchive) -> str:
        return f"{self._api}/records/{quote(published.record)}"

    def _listed(self, published: ZenodoArchive, say: Callable[[str], None]) -> _Listed:
        record = published.record
        if record not in self._records:
            try:
                self._records[record] = self._read_listing(self._record(published), say)
            except UserError as error:
                self._records[record] = error
        files = self._records[record]
        if isinstance(files, UserError):
            raise files
        if published.file not in files:
            near = did_you_mean(published.file, files)
            raise UserError(f"Record {record} lists no file {published.file}.{near}")
        return files[published.file]

    def _read_listing(self, url: str, say: Callable[[str], None]) -> dict[str, _Listed]:
        # A mirror works without the record: nobody should wait long for it then.
        cure, most = ("", 2) if self._mirror else (_LATER, None)
        tries = Tries(self._web, say, cure=cure, most=most, first=True)
        while True:
            try:
                text = self._web.read(url)
            except Passing as failure:
                tries.failed(failure)
            else:
                return _parse_listing(text, url)

    def _in_mirror(self, file: str, unlisted: str | None, say: Callable[[str], None]) -> Archive:
        """The archive in the mirror; ``unlisted`` says why the record does not tell its md5."""
        mirror = self._mirror
        if isinstance(mirror, Path):
            place: str | Path = mirror / file
            if not (mirror / file).is_file():
                raise UserError(f"The mirror {mirror} has no file {file}.")
            size: int | None = (mirror / file).stat().st_size
        else:
            place = f"{mirror}/{quote(file)}"
            size = self._announced_size(place, say)
        if unlisted is None:
            return Archive(file, place, size, None, "")
        for form in _SUMS:
            name = form.format(file=file)
            if (md5 := _md5_of(file, self._read_beside(name))) is not None:
                return Archive(file, place, size, md5, f"{name} of the mirror")
        return Archive(file, place, size, None, unlisted)

    def _announced_size(self, url: str, say: Callable[[str], None]) -> int | None:
        tries = Tries(self._web, say, cure=_LATER, first=True)
        while True:
            try:
                # Some servers do not know HEAD; the first byte tells the size as well.
                with self._web.get(url, {"Range": "bytes=0-0"}) as response:
                    return span(response).total
            except Passing as failure:
                tries.failed(failure)

    def _read_beside(self, name: str) -> str:
        """A small text file of the mirror; empty when there is none."""
        try:
            if isinstance(self._mirror, Path):
                return (self._mirror / name).read_text("utf-8", "replace")
            return self._web.read(f"{self._mirror}/{quote(name)}").decode("utf-8", "replace")
        except (OSError, UserError, Passing):
            return ""


def write_md5(archive: Path, md5: str) -> None:
    """Write the md5 of an archive to a file beside it, as ``md5sum`` does."""
    write_file(_md5_file(archive), f"{md5}  {archive.name}\n")


def read_md5(archive: Path) -> str | None:
    """Return the md5 of an archive that the file beside it tells; None where it does not."""
    try:
        return _md5_of(archive.name, _md5_file(archive).read_text("utf-8", "replace"))
    except OSError:
        return None


def _md5_file(archive: Path) -> Path:
    return archive.with_name(_SUMS[0].format(file=archive.name))


def _mirror(text: str) -> str | Path:
    if re.match(r"https?://", text):
        return text.rstrip("/")
    if "://" in text:
        raise UserError(f"--mirror {text}: give a folder, or an http or https address.")
    if not Path(text).is_dir():
        raise UserError(f"--mirror {text}: there is no such folder.")
    return Path(text)


def _parse_listing(text: bytes, url: str) -> dict[str, _Listed]:
    """Read ``{"files": [{"key", "size", "checksum": "md5:..."}]}``, as Zenodo lists a record."""
    try:
        content: Any = json.loads(text)
        listed = {}
        for entry in content["files"]:
            kind, _, digest = entry["checksum"].partition(":")
            if kind != "md5" or not re.fullmatch(r"[0-9a-f]{32}", digest):
                raise ValueError(f"the checksum {entry['checksum']!r} is no md5")
            listed[entry["key"]] = _Listed(int(entry["size"]), digest)
        return listed
    except (ValueError, LookupError, TypeError, AttributeError, *_ENDLESS) as error:
        raise UserError(f"{url} is not the listing of a record: {error!r}.") from error


def _md5_of(file: str, sums: str) -> str | None:
    """Find a file's md5 in what md5sum writes, or in a text that is an md5 alone."""
    for line in sums.splitlines():
        match = re.fullmatch(r"\\?([0-9a-fA-F]{32})(?:[ \t]+\*?(.*?))?\s*", line)
        if match and (match[2] is None or match[2].rpartition("/")[2] == file):
            return match[1].lower()
    return None
