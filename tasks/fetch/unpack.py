"""Unpack an archive: only plain files of one task directory, and only into its folder.

tarfile's data filter keeps members inside the folder and ignores owners and permissions. It has no
limits on size and number, and accepts links, duplicates, other directories and truncated files.
"""

from __future__ import annotations

import errno
import gzip
import re
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

from rich.filesize import decimal

from harness.core.errors import UserError
from tasks.fetch.web import Stopped

MOST_MEMBERS = 1_000_000
"""The largest published task has 100,503 clips; five sample rates of it are half of this."""

_LONGEST_READ = 1 << 20
"""Limit on the bytes of a header, which tarfile reads at once. No published archive reaches it."""

_BROKEN = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, ArithmeticError)
"""The exceptions that tarfile and gzip raise for an invalid archive."""

_MISNAMED = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
"""Numbers of the OSErrors for names that contradict each other or are too long."""

_PUBLISHED_BELOW = re.compile(r"hear-[\w.]+")


def unpack(
    archive: Path,
    name: str,
    directory: str,
    target: Path,
    *,
    most_bytes: int,
    most_members: int = MOST_MEMBERS,
    moved: Callable[[int, int], None] = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """Unpack ``[hear-<version>/]tasks/<directory>/...`` to ``target/<directory>/...``.

    Owners, permissions and times are not restored. Only folders and plain files below that one
    directory are unpacked; any other member is an error. Members unpacked before an error stay in
    ``target``, which should be a folder of its own.

    Args:
        archive: a tar file compressed with gzip.
        name: its name in errors.
        directory: name of the one task directory that it should contain.
        target: folder to unpack into.
        most_bytes: limit on the size of everything unpacked, tar headers included.
        most_members: limit on the number of files and folders.
        moved: called with the bytes read of the archive, and its size.
        stopped: called between members; if it returns True, Stopped is raised.

    Returns:
        The task directory below ``target``.

    Raises:
        UserError: the archive is damaged, exceeds a limit, or contains any other member.
        Stopped: the user stopped the program.
    """
    seen: set[str] = set()
    size = archive.stat().st_size
    with archive.open("rb") as raw, gzip.GzipFile(fileobj=raw) as unzipped:
        stream = _Limited(unzipped, most_bytes, name)
        try:
            # The stubs require all methods of a file, but tarfile only calls read, seek and tell.
            with tarfile.open(fileobj=stream, mode="r:", copybufsize=1 << 18) as tar:  # type: ignore[call-overload]
                for member in tar:
                    if stopped():
                        raise Stopped
                    place = _place(member, directory, name)
                    if place and place in seen:
                        raise UserError(f"{name} contains {member.name!r} twice.")
                    seen.add(place)
                    if len(seen) > most_members:
                        raise UserError(
                            f"{name} contains more than {most_members:,} files; no task does."
                        )
                    if place:
                        moved_member = member.replace(name=place, deep=False)
                        tar.extract(moved_member, target, set_attrs=False, filter="data")
                    moved(raw.tell(), size)
            stream.finish()
        except (*_BROKEN, RecursionError, LookupError) as error:
            raise UserError(f"{name} is not a complete .tar.gz file: {error}.") from error
        except OSError as error:
            if error.errno not in _MISNAMED:
                raise
            raise UserError(
                f"{name} contains a name that cannot be unpacked ({error.strerror})."
            ) from error
    if not (target / directory).is_dir():
        raise UserError(f"{name} contains no tasks/{directory}.")
    return target / directory


def _place(member: tarfile.TarInfo, directory: str, archive: str) -> str:
    """Return a member's path below the target; empty for folders above the task's."""
    kind = "file" if member.isreg() and not member.issparse() else "folder"
    if kind == "folder" and not member.isdir():
        raise UserError(
            f"{archive} contains {member.name!r}, {_KINDS.get(member.type, 'of unknown type')}: a "
            "task has only plain files and folders."
        )
    name = member.name.removeprefix("./").rstrip("/")
    parts = name.split("/")
    if re.search(r"[\\\x00-\x1f]", name) or (name != "." and {"", ".", ".."} & set(parts)):
        raise UserError(f"{archive} contains {member.name!r}, a path outside its folder.")
    below = parts[1:] if _PUBLISHED_BELOW.fullmatch(parts[0]) else parts
    if kind == "folder" and below in ([], ["."], ["tasks"]):
        return ""
    if below[:2] != ["tasks", directory] or (kind == "file" and len(below) < 3):
        raise UserError(f"{archive} contains {member.name!r}; only tasks/{directory} is allowed.")
    return "/".join(below[1:])


_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a file with holes",
    tarfile.REGTYPE: "a file with holes",
}


class _Limited:
    """The decompressed stream that tarfile reads, up to a limit."""

    def __init__(self, stream: gzip.GzipFile, limit: int, name: str) -> None:
        self._stream = stream
        self._limit = limit
        self._name = name
        self._last = b""

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes."""
        if size > _LONGEST_READ:
            raise UserError(
                f"{self._name} contains a header of {decimal(size)}; no published archive does."
            )
        self._refuse_beyond(self.tell() + size)
        self._last = self._stream.read(size)
        return self._last

    def seek(self, offset: int) -> int:
        """Move to an offset in bytes and return it."""
        self._refuse_beyond(offset)
        return self._stream.seek(offset)

    def tell(self) -> int:
        """Return the offset in bytes."""
        return self._stream.tell()

    def finish(self) -> None:
        """Check tar's end-of-archive block and the gzip checksum after it.

        tarfile takes a damaged header for the end of the archive.
        """
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end-of-archive block is missing")
        while self.read(_LONGEST_READ):
            pass

    def _refuse_beyond(self, offset: int) -> None:
        if offset > self._limit + _LONGEST_READ:
            raise UserError(
                f"{self._name} unpacks to more than {decimal(self._limit)}, far more than this "
                "task needs, so it is not unpacked."
            )
