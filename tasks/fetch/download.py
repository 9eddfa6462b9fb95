"""Download an archive, resume an interrupted download, and check size and md5.

requests and urllib3 do not resume a file with a range request, do not compare ETags to detect
another version on the server, and do not check the whole file by an md5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import requests
from rich.filesize import decimal

from harness.core.errors import UserError
from harness.core.files import write_file
from hear_byola.core import jsontext
from tasks.fetch.archive import Archive
from tasks.fetch.retries import retried
from tasks.fetch.web import Stopped, TemporaryFailure, Web, span

Moved = Callable[[str, int, int | None], None]
"""Called with a stage, the bytes done, and the total number of bytes."""

_READ = 1 << 20
_KEPT = "Downloaded bytes are kept: run the same command to resume."
_ELSEWHERE = "Run the same command later, or name a --mirror."


class Download:
    """The download of one archive to the file ``part``, which may exist partly.

    The server's ETag, which identifies the version of the file, is stored beside ``part``. The
    request for the rest contains it, so pieces of two versions are not joined.
    """

    def __init__(
        self, web: Web, archive: Archive, part: Path, say: Callable[[str], None], moved: Moved
    ) -> None:
        self._web = web
        self._archive = archive
        self._url = str(archive.place)
        self._part = part
        self._say = say
        self._moved = moved
        # Without an md5, a file counts as the same one only if its URL is the same.
        origin = None if archive.md5 else self._url
        self._identity = {"size": archive.size, "md5": archive.md5, "only_from": origin}

    def run(self) -> None:
        """Complete ``part`` and check it.

        If the md5 of joined pieces is wrong, the file is downloaded once more from its beginning.

        Raises:
            UserError: the server does not send the file, or sends another one. ``part`` is kept if
                a later call can continue it.
            Stopped: the user stopped the program.
        """
        state, size = _read_state(self._part), self._archive.size
        same = all(state.get(key) == value for key, value in self._identity.items())
        if not same or size is None or (self._part.exists() and self._received() > size):
            drop(self._part)
        for last in (False, True):
            self._part.touch()
            start = retried(
                self._receive,
                self._web,
                self._say,
                advice=_KEPT,
                first_contact=False,
                received=self._received,
            )
            try:
                check(self._archive, self._part, self._web, self._moved)
                return
            except UserError:
                drop(self._part)
                if start == 0 or last:
                    raise
            self._say("the joined pieces have a wrong md5: downloading again from the beginning")

    def _received(self) -> int:
        return self._part.stat().st_size

    def _receive(self) -> int | None:
        """Complete ``part`` with one answer.

        Returns:
            The first byte of the answer; None if nothing was missing.
        """
        size = self._archive.size
        have = 0 if size is None else self._received()
        if have == size:
            return None
        state = _read_state(self._part)
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and state.get("url") == self._url and isinstance(state.get("etag"), str):
            headers["If-Range"] = str(state["etag"])
        with self._web.get(self._url, headers) as response, self._part.open("r+b") as stream:
            brought = span(response)
            if size is not None and brought.total not in (None, size):
                raise UserError(
                    f"{self._url} has {brought.total:,} bytes on the server, but {size:,} are "
                    f"published: it is another file, or incomplete. {_ELSEWHERE}"
                )
            if brought.start is None or brought.start > have:
                stream.truncate(0)
                raise TemporaryFailure("the server sent another part of the file than requested")
            if have and brought.start:
                self._say(f"resuming after {decimal(brought.start)}")
            elif have:
                self._say("the server cannot resume: downloading from the beginning")
            # A weak ETag does not guarantee that the bytes of two versions are the same.
            etag = response.headers.get("ETag", "")
            known = {"url": self._url} | ({"etag": etag} if etag.startswith('"') else {})
            write_file(_state(self._part), json.dumps(self._identity | known))
            stream.truncate(brought.start)
            stream.seek(brought.start)
            self._store(response, stream)
            if size is not None and stream.tell() < size:
                raise TemporaryFailure("the server closed the connection early")
            return brought.start

    def _store(self, response: requests.Response, stream: BinaryIO) -> None:
        size = self._archive.size
        self._moved("downloading", stream.tell(), size)
        for chunk in self._web.chunks(response):
            stream.write(chunk)
            # Flush, so that a kill loses no received bytes.
            stream.flush()
            if size is not None and stream.tell() > size:
                stream.truncate(0)
                raise UserError(f"{response.url} is longer than the published {size:,} bytes.")
            self._moved("downloading", stream.tell(), size)


def check(archive: Archive, path: Path, web: Web, moved: Moved) -> None:
    """Compare a file with the archive's size and md5, if they are known.

    Raises:
        UserError: it is another file.
        Stopped: the user stopped the program.
    """
    size = path.stat().st_size
    if archive.size not in (None, size):
        raise UserError(f"{archive.place} has {size:,} bytes, but {archive.size:,} are published.")
    if archive.md5 is None:
        return
    digest, done = hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_READ):
            if web.stop.is_set():
                raise Stopped
            digest.update(chunk)
            done += len(chunk)
            moved("checking", done, size)
    if digest.hexdigest() != archive.md5:
        advice = "Remove or replace it." if isinstance(archive.place, Path) else _ELSEWHERE
        raise UserError(
            f"{archive.place} has the md5 {digest.hexdigest()}, but {archive.witness} lists "
            f"{archive.md5}: the file was damaged or replaced. {advice}"
        )


def drop(part: Path) -> None:
    """Remove a partial download and the state beside it."""
    part.unlink(missing_ok=True)
    _state(part).unlink(missing_ok=True)


def _state(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_state(part: Path) -> dict[str, object]:
    try:
        content = jsontext.load(_state(part).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
