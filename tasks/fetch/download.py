"""Downloading an archive piece by piece, so that no byte that has come is asked for again."""

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
from tasks.fetch.archive import Archive
from tasks.fetch.tries import Tries
from tasks.fetch.web import Passing, Stopped, Web, span

Moved = Callable[[str, int, int | None], None]
"""Called with a stage, the bytes behind it, and the bytes in all."""

_READ = 1 << 20
_ELSEWHERE = "Run the same command later, or name a --mirror"


def download(
    web: Web, archive: Archive, part: Path, say: Callable[[str], None], moved: Moved
) -> None:
    """Bring ``part`` to the whole archive, going on from what it holds, and check it.

    What the server calls this version of the file (its ETag) lies beside ``part``, and goes with
    the request for the rest, so that pieces of two versions are not joined. When pieces give a
    wrong md5 nevertheless, the file is fetched once more from its start.

    Raises:
        UserError: the server does not give the file, or not this one; ``part`` is then kept where
            it can be gone on from.
        Stopped: the user stopped the program.
    """
    if not isinstance(archive.place, str):
        raise ValueError(f"{archive.place} is no address")
    _drop_another(archive, part)
    while True:
        part.touch()
        in_one_piece = _fetch_rest(web, archive, archive.place, part, say, moved)
        try:
            check(archive, part, web, moved)
            return
        except UserError:
            drop(part)
            if in_one_piece:
                raise
            say("its pieces do not fit together: fetching it once more from its start")


def check(archive: Archive, path: Path, web: Web, moved: Moved) -> None:
    """Compare a file with the archive's size and md5, as far as they are known.

    Raises:
        UserError: it is another file.
    """
    size = path.stat().st_size
    if archive.size not in (None, size):
        raise UserError(f"{archive.place} has {size:,} bytes, not the {archive.size:,} it should.")
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
        cure = "Remove or replace it" if isinstance(archive.place, Path) else _ELSEWHERE
        raise UserError(
            f"{archive.place} has the md5 {digest.hexdigest()}, not {archive.md5} as "
            f"{archive.witness} tells: the file was damaged or replaced. {cure}."
        )


def drop(part: Path) -> None:
    """Remove a partial download and what is known of it."""
    part.unlink(missing_ok=True)
    _state(part).unlink(missing_ok=True)


def _state(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_state(part: Path) -> dict[str, object]:
    try:
        content = json.loads(_state(part).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _identity(archive: Archive) -> dict[str, object]:
    # A file without an md5 is the same only if it comes from the same place.
    place = archive.place if archive.md5 is None else None
    return {"size": archive.size, "md5": archive.md5, "only_from": place}


def _drop_another(archive: Archive, part: Path) -> None:
    """Drop what was begun of another file, or cannot be gone on from."""
    state = _read_state(part)
    same = all(state.get(key) == value for key, value in _identity(archive).items())
    if not same or archive.size is None or (part.exists() and part.stat().st_size > archive.size):
        drop(part)


def _fetch_rest(
    web: Web, archive: Archive, url: str, part: Path, say: Callable[[str], None], moved: Moved
) -> bool:
    """Fetch what is missing; tell whether the whole file came with one answer."""
    have = part.stat().st_size
    kept = ". What has come is kept: the same command goes on from it"
    tries = Tries(web, say, cure=kept, reached=have)
    while archive.size is None or have < archive.size:
        try:
            return _receive(web, archive, url, part, say, moved) == 0
        except Passing as failure:
            have = part.stat().st_size
            tries.failed(failure, have)
    return False


def _receive(
    web: Web, archive: Archive, url: str, part: Path, say: Callable[[str], None], moved: Moved
) -> int:
    """Complete ``part`` with one answer; return the byte that the answer started at."""
    have = 0 if archive.size is None else part.stat().st_size
    state = _read_state(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and state.get("url") == url and isinstance(state.get("etag"), str):
        headers["If-Range"] = str(state["etag"])
    with web.get(url, headers) as response, part.open("r+b") as stream:
        brought = span(response)
        if archive.size is not None and brought.total not in (None, archive.size):
            raise UserError(
                f"{url} has {brought.total:,} bytes on the server, not the {archive.size:,} it "
                f"should: that is not the published file, or not all of it. {_ELSEWHERE}."
            )
        if brought.start is None or brought.start > have:
            stream.truncate(0)
            raise Passing("the server sent another part of the file than was asked for")
        if have and brought.start:
            say(f"going on from {decimal(brought.start)} that are there")
        elif have:
            say("the server sends the whole file alone: it starts anew")
        # A weak ETag says that two versions mean the same, not that their bytes are the same.
        etag = response.headers.get("ETag", "")
        known = {"etag": etag} if etag.startswith('"') else {}
        write_file(_state(part), json.dumps(_identity(archive) | {"url": url} | known))
        stream.truncate(brought.start)
        stream.seek(brought.start)
        _store(web, archive, response, stream, moved)
        if archive.size is not None and stream.tell() < archive.size:
            raise Passing("the server hung up early")
        return brought.start


def _store(
    web: Web, archive: Archive, response: requests.Response, stream: BinaryIO, moved: Moved
) -> None:
    moved("downloading", stream.tell(), archive.size)
    for chunk in web.chunks(response):
        stream.write(chunk)
        # Flushed, so that a kill loses nothing that has come.
        stream.flush()
        if archive.size is not None and stream.tell() > archive.size:
            stream.truncate(0)
            raise UserError(f"{response.url} goes on past the {archive.size:,} bytes it should.")
        moved("downloading", stream.tell(), archive.size)
