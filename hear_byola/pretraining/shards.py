"""List and open the members of tar shards (webdataset layout) without extracting them."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

from hear_byola.core.audiofile import BadFile

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
COMPRESSED_REASON = "is a compressed tar file, in which members cannot be sought. Decompress it."


class Member(NamedTuple):
    """Name, offset and size in bytes of a file in a shard."""

    name: str
    offset: int
    size: int


def is_compressed(name: str) -> bool:
    """Return whether a name is that of a compressed tar file."""
    return name.lower().endswith(COMPRESSED)


def members(path: Path, extensions: frozenset[str]) -> Iterator[Member]:
    """Yield the regular files of a tar file that have one of the extensions, in its order.

    Args:
        path: an uncompressed tar file.
        extensions: as ".wav", in lower case; the case of names does not matter.

    Raises:
        BadFile: the file is not a tar file, or is compressed or truncated.
        OSError: the file cannot be opened.
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
                    raise BadFile(f"is truncated: it ends inside {name}.")
                if PurePosixPath(name).suffix.lower() in extensions:
                    yield Member(name, entry.offset_data, entry.size)
    except (tarfile.TarError, EOFError, ValueError, ArithmeticError) as error:
        raise BadFile(
            f"is not an uncompressed tar file, or is truncated ({error}). Pack it again without "
            "compression."
        ) from error


def open_member(path: Path, offset: int, size: int) -> BinaryIO:
    """Return one member as a read-only, seekable file.

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
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position in the member and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position in the member."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position up to the end of the member; return the bytes read."""
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
