"""Locate a task's archive, with size and md5, in the record that publishes it or in a mirror.

pooch reads the checksums of a Zenodo record, too. It lacks mirrors, and local copies that need
neither the record nor a network.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.core.errors import UserError, did_you_mean
from harness.core.files import write_file
from hear_byola.core import jsontext
from tasks.cards.card import ZenodoArchive
from tasks.fetch.retries import retried
from tasks.fetch.web import TemporaryFailure, Web, span

API = "https://zenodo.org/api"
"""Zenodo's API: ``records/<id>`` lists a record, and its files are below that URL."""

_MD5_FILES = ("{file}.md5", "md5sums.txt", "md5sums", "MD5SUMS")
"""Names of files beside a mirror's archives that may contain their md5."""

_LATER = "Run the same command later, or name a --mirror that has the archives."

_MALFORMED = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(RecursionError, OverflowError),  # from deep nesting, from a number such as 1e999
)
"""The exceptions that reading an invalid listing raises."""


@dataclass(frozen=True)
class Archive:
    """An archive to fetch.

    Attributes:
        file: its name.
        place: a URL, or a path if it is on this machine.
        size: in bytes; None if unknown.
        md5: hexadecimal; None if unknown.
        witness: the source of the md5, for messages; without an md5, the reason why there is none.
    """

    file: str
    place: str | Path
    size: int | None
    md5: str | None
    witness: str


class Locator:
    """Finds archives in the records that publish them, or in a mirror.

    A mirror is a folder, or its URL, with archives under their published names.
    Size and md5 come from the record's listing if it can be reached; otherwise the md5 comes from
    a file beside the archive.
    """

    def __init__(self, web: Web, mirror: str | None = None) -> None:
        self._web = web
        self._mirror = None if mirror is None else _mirror(mirror)
        self._records: dict[str, dict[str, Archive] | UserError] = {}

    def locate(self, published: ZenodoArchive, say: Callable[[str], None]) -> Archive:
        """Return the archive and its location.

        Raises:
            UserError: it cannot be found, or has another size than the published one.
        """
        if self._mirror is None:
            return self._listed(published, say)
        known: Archive | UserError
        try:
            known = self._listed(published, say)
        except UserError as error:
            known = error
        file = published.file
        place, size = self._in_mirror(self._mirror, file, say)
        if isinstance(known, UserError):
            md5, witness = self._md5_beside(self._mirror, file) or (None, str(known))
            return Archive(file, place, size, md5, witness)
        if size not in (None, known.size):
            raise UserError(
                f"{place} has {size:,} bytes, but {known.witness} lists {known.size:,}: it is not "
                "the published archive."
            )
        return replace(known, place=place)

    def _listed(self, published: ZenodoArchive, say: Callable[[str], None]) -> Archive:
        record = published.record
        if record not in self._records:
            try:
                self._records[record] = self._read_listing(record, say)
            except UserError as error:
                self._records[record] = error
        files = self._records[record]
        if isinstance(files, UserError):
            raise files
        if published.file not in files:
            near = did_you_mean(published.file, files)
            raise UserError(f"Record {record} lists no file {published.file}.{near}")
        return files[published.file]

    def _read_listing(self, record: str, say: Callable[[str], None]) -> dict[str, Archive]:
        url = f"{API}/records/{quote(record)}"
        # With a mirror the record is not necessary, so two tries are enough.
        advice, tries = ("", 2) if self._mirror else (_LATER, None)
        text = retried(lambda: self._web.read(url), self._web, say, advice=advice, tries=tries)
        try:
            return _listed_archives(text, url, f"record {record}")
        except _MALFORMED as error:
            raise UserError(f"{url} is not the listing of a record: {error!r}.") from error

    def _in_mirror(
        self, mirror: str | Path, file: str, say: Callable[[str], None]
    ) -> tuple[str | Path, int | None]:
        """Return the place of a file in the mirror, and its size if that is known."""
        if isinstance(mirror, Path):
            if not (mirror / file).is_file():
                raise UserError(f"The mirror {mirror} has no file {file}.")
            return mirror / file, (mirror / file).stat().st_size
        url = f"{mirror}/{quote(file)}"
        return url, retried(lambda: self._announced_size(url), self._web, say, advice=_LATER)

    def _announced_size(self, url: str) -> int | None:
        # Some servers do not support HEAD; the answer for the first byte contains the size, too.
        with self._web.get(url, {"Range": "bytes=0-0"}) as response:
            return span(response).total

    def _md5_beside(self, mirror: str | Path, file: str) -> tuple[str, str] | None:
        """Return the md5 in a file beside the archive, and the source; None if there is none."""
        for form in _MD5_FILES:
            name = form.format(file=file)
            try:
                if isinstance(mirror, Path):
                    content = (mirror / name).read_bytes()
                else:
                    content = self._web.read(f"{mirror}/{quote(name)}")
            except (OSError, UserError, TemporaryFailure):
                continue
            if (md5 := _md5_of(file, content)) is not None:
                return md5, f"{name} of the mirror"
        return None


def write_md5(archive: Path, md5: str) -> None:
    """Write the md5 of an archive to a file beside it, in the format of ``md5sum``."""
    write_file(_md5_file(archive), f"{md5}  {archive.name}\n")


def read_md5(archive: Path) -> str | None:
    """Return the md5 of an archive from the file beside it; None if there is none."""
    try:
        return _md5_of(archive.name, _md5_file(archive).read_bytes())
    except OSError:
        return None


def _md5_file(archive: Path) -> Path:
    return archive.with_name(_MD5_FILES[0].format(file=archive.name))


def _mirror(text: str) -> str | Path:
    if re.match(r"https?://", text):
        return text.rstrip("/")
    if "://" in text:
        raise UserError(f"--mirror {text}: give a folder, or an http or https URL.")
    if not Path(text).is_dir():
        raise UserError(f"--mirror {text}: there is no such folder.")
    return Path(text)


def _listed_archives(text: bytes, url: str, witness: str) -> dict[str, Archive]:
    """Read ``{"files": [{"key", "size", "checksum": "md5:..."}]}``, as Zenodo lists a record."""
    content: Any = jsontext.load(text)
    listed = {}
    for entry in content["files"]:
        kind, _, md5 = entry["checksum"].partition(":")
        if kind != "md5" or not re.fullmatch(r"[0-9a-f]{32}", md5):
            raise ValueError(f"the checksum {entry['checksum']!r} is not an md5")
        file = entry["key"]
        place = f"{url}/files/{quote(file)}/content"
        listed[file] = Archive(file, place, int(entry["size"]), md5, witness)
    return listed


def _md5_of(file: str, sums: bytes) -> str | None:
    """Return a file's md5 from the output of md5sum, or from a text that is only an md5."""
    for line in sums.decode("utf-8", "replace").splitlines():
        match = re.fullmatch(r"\\?([0-9a-fA-F]{32})(?:[ \t]+\*?(.*?))?\s*", line)
        if match and (match[2] is None or match[2].rpartition("/")[2] == file):
            return match[1].lower()
    return None
