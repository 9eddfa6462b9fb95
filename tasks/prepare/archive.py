"""Read the files of a corpus on disk or inside its archives, without unpacking the archives.

No file is written to a path that an archive names. A large compressed tar does not allow random
access, so it is expanded once to an uncompressed tar.
"""

from __future__ import annotations

import gzip
import math
import os
import posixpath
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO

from harness.core.errors import UserError, is_damage
from harness.core.files import file_state, replacing
from harness.core.hashing import content_sha256
from hear_byola.core.locks import claimed

Say = Callable[[str], None]
"""Called with a line of progress or a warning."""

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

_LARGEST = 1 << 30  # bytes of a member; the largest member of a known corpus has about 200 MB
_IN_MEMORY = 64 << 20  # a compressed tar of at most this many bytes is read into memory
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    ValueError,
    ArithmeticError,
    LookupError,
    RecursionError,
)
"""What tarfile, zipfile and gzip raise when bytes are not a valid archive."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a corpus.

    Attributes:
        path: path of the file, or of the archive that contains it.
        member: its name inside the archive; "" for a file on disk.
        start: offset of its bytes in an uncompressed tar; else 0.
        size: size in bytes.
        name: its path in the corpus. The ``repr`` has only this name and the size, so it does not
            depend on the location of the corpus's folder.
    """

    path: str = field(repr=False)
    member: str = field(default="", repr=False)
    start: int = field(default=0, repr=False)
    size: int = 0
    name: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.member else self.path

    def content(self) -> bytes:
        """Return the content of the file.

        Raises:
            UserError: the archive is damaged.
            OSError: the file, or the archive, cannot be read.
        """
        if not self.member:
            return Path(self.path).read_bytes()
        try:
            if self.start:
                return _part(self.path, self.start, self.size)
            if self.path.endswith(".zip"):
                return _opened_zip(self.path).read(self.member)
            return _contents_of_tar(self.path)[self.member]
        except (*_BROKEN, OSError) as error:
            if not is_damage(error):
                raise
            raise UserError(
                f"{self} cannot be read ({error}). Download the archive again."
            ) from error


def files_of(archive: Path, room: Path, say: Say) -> Iterator[tuple[str, File]]:
    """Yield the regular files of an archive: (path inside, without leading ``./``; the file).

    Args:
        archive: an archive whose name ends in one of :data:`SUFFIXES`.
        room: folder in which a large compressed tar may be expanded.
        say: called if the archive is expanded.

    Raises:
        UserError: the archive is damaged, encrypted, or contains a file of more than 1 GiB; or the
            disk is too small to expand it.
    """
    try:
        listing = _zip(archive) if archive.suffix == ".zip" else _tar(archive, room, say)
        for name, file in listing:
            if file.size > _LARGEST:
                raise UserError(
                    f"{file} is {file.size >> 20} MiB. Files of a corpus are at most "
                    f"{_LARGEST >> 20} MiB."
                )
            yield posixpath.normpath(name), file
    except (*_BROKEN, gzip.BadGzipFile) as error:
        raise UserError(f"{archive} is damaged ({error}). Download it again.") from error
    except OSError as error:
        raise UserError(f"{archive} cannot be read ({error.strerror or error}).") from error


def close_archives() -> None:
    """Close the archives that are cached in this process."""
    _opened_zip.cache_clear()
    _contents_of_tar.cache_clear()


def expanded_path(archive: Path, room: Path) -> Path:
    """Return the path to which :func:`files_of` expands an archive; it depends on the content."""
    key = content_sha256(f"{archive.resolve()}\n{tuple(file_state(archive))}")
    return room / f".{archive.name}.{key[:12]}.expanded"


class Expanded:
    """An expanded archive; other processes do not remove it until it is closed or discarded.

    Raises:
        FileNotFoundError: another process has just removed it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = path.open("rb")
        _lock(self._stream, shared=True)
        if not os.path.samestat(os.fstat(self._stream.fileno()), path.stat()):
            raise FileNotFoundError(path)

    def discard(self) -> None:
        """Release the expanded archive, and remove it if no other process uses it."""
        if _lock(self._stream):
            self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Release the expanded archive."""
        self._stream.close()


def _lock(stream: IO[bytes], *, shared: bool = False) -> bool:
    """Lock an open file; return False if another process has locked it."""
    # filelock has no shared lock that works without a separate lock file.
    try:
        import fcntl

        fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass  # Windows, or a file system without locks
    return True


def _zip(archive: Path) -> Iterator[tuple[str, File]]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if member.flag_bits & 1:
                raise UserError(f"{archive} is encrypted. Unpack it, and name the folder.")
            if not member.is_dir():
                yield (
                    member.filename,
                    File(str(archive), member.filename, size=member.file_size),
                )


def _tar(archive: Path, room: Path, say: Say) -> Iterator[tuple[str, File]]:
    compressed = archive.suffix != ".tar"
    in_memory = compressed and archive.stat().st_size <= _IN_MEMORY
    plain = _expanded(archive, room, say) if compressed and not in_memory else archive
    total = 0
    with tarfile.open(plain, "r:gz" if in_memory else "r:") as opened:
        for member in _regular(opened):
            total += member.size
            if in_memory and total > _LARGEST:
                raise UserError(f"{archive} contains more than {_LARGEST >> 20} MiB. Unpack it.")
            start = 0 if in_memory else member.offset_data
            yield member.name, File(str(plain), member.name, start, member.size)


def _regular(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    return (member for member in tar if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE))


def _expanded(archive: Path, room: Path, say: Say) -> Path:
    final = expanded_path(archive, room)
    if final.exists():
        return final
    with claimed(final, wait=math.inf):
        if final.exists():  # another process has just expanded it
            return final
        say(f"expanding {archive} to {final}, which is removed when the task is complete")
        try:
            with (
                replacing(final) as temporary,
                temporary.open("wb") as out,
                gzip.open(archive) as packed,
            ):
                shutil.copyfileobj(packed, out, 1 << 20)
        except gzip.BadGzipFile:
            raise
        except OSError as error:
            raise UserError(
                f"{archive} cannot be expanded in {room} ({error.strerror}). Unpack it to a disk "
                "with enough space, and name that folder."
            ) from error
    return final


def _part(path: str, start: int, size: int) -> bytes:
    with open(path, "rb") as archive:
        archive.seek(start)
        content = archive.read(size)
    if len(content) < size:
        raise EOFError(f"{len(content)} of {size} bytes are present")
    return content


# Archives stay open, because opening one for each of its files takes longer than reading the file.


@lru_cache(maxsize=8)
def _opened_zip(path: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@lru_cache(maxsize=2)
def _contents_of_tar(path: str) -> dict[str, bytes]:
    contents = {}
    with tarfile.open(path, "r:gz") as opened:
        for member in _regular(opened):
            if stream := opened.extractfile(member):
                contents[member.name] = stream.read()
    return contents
