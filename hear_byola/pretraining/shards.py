"""Tar shards in the webdataset layout: which members they hold, and a member as a file.

Nothing is extracted: a member is read where it lies, so its name cannot do any harm.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

from hear_byola.audiofile import BadFile

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
COMPRESSED_REASON = "is a compressed tar file, which cannot be read in the middle: unpack it."


class Member(NamedTuple):
    """A file in a shard: its name, and where its bytes lie."""

    name: str
    offset: int
    size: int


def is_compressed(name: str) -> bool:
    """Whether a name ends as those of compressed tar files do."""
    return name.lower().endswith(COMPRESSED)


def members(path: Path, extensions: frozenset[str]) -> Iterator[Member]:
    """The regular files in a tar file whose names end in one of ``extensions``, in its order.

    Args:
        path: an uncompressed tar file.
        extensions: as ".wav", in lower case; the names' case does not matter.

    Raises:
        BadFile: no tar file, a compressed one, or one that is cut off.
        OSError: it cannot be opened.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            end = path.stat().st_size
            for entry in archive:
                archive.members = []  # type: ignore[attr-defined]  # it would keep every entry
                name = entry.name.removeprefix("./")
                if not entry.isreg() or entry.issparse():
                    continue
                if entry.offset_data + entry.size > end:
                    raise BadFile(f"is cut off: it ends inside {name}.")
                if PurePosixPath(name).suffix.lower() in extensions:
                    yield Member(name, entry.offset_data, entry.size)
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise BadFile(
            f"is no plain tar file, or is cut off ({error}): pack it again, without compression."
        ) from error


def open_member(path: Path, offset: int, size: int) -> BinaryIO:
    """The bytes of one member, as a read-only, seekable file.

    Raises:
        OSError: the shard cannot be opened.
    """
    return cast(BinaryIO, io.BufferedReader(_MemberFile(path, offset, size)))


class _MemberFile(io.RawIOBase):
    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  closed by close()
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position in the member; returns it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """The position in the member."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on, up to the member's end; returns the bytes read."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        self._file.seek(self._offset + self._position)
        done = self._file.readinto(view[:count]) or 0
        self._position += done
        return done

    def close(self) -> None:
        """Close the shard."""
        self._file.close()
        super().close()
