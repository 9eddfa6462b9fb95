"""Identify the content of a file: by its hash, or by a state that needs no opening."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import NamedTuple

SETTLED_NS = 3_000_000_000
"""Age (ns) from which a file's times are trusted. The coarsest clock of a file system has steps of
2 s (FAT): a second change within one step would leave the same times."""


class FileState(NamedTuple):
    """Properties that change with a file's content.

    Size and modification time can be set back, and an inode can be used again by another file. No
    program can set the change time.

    Attributes:
        size: in bytes.
        mtime_ns: modification time in ns.
        ctime_ns: time in ns of the last change of content, name, owner or times.
        inode: number of the file in its file system.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    def settled(self) -> bool:
        """Return whether any change from now on changes the state.

        What was read of the file may be remembered only if this is true before the reading.
        """
        return time.time_ns() - max(self.mtime_ns, self.ctime_ns) >= SETTLED_NS


def file_state(path: str | Path) -> FileState:
    """Return the state of a file, links followed.

    Raises:
        OSError: the file cannot be seen.
    """
    status = os.stat(path)
    return FileState(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def file_sha256(path: str | Path) -> str:
    """Return the sha256 of a file's content in hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
