"""Writing of files and directories that appear whole or not at all, and paths that a user gives.

Use :func:`replacing` for a file that is written piece by piece, :func:`write_file` for content in
memory, :func:`new_directory` for a folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from hear_byola.core.filestate import FileState, file_state
from hear_byola.core.owner import has_ended, maker_of, temporary_beside
from hear_byola.core.userfolders import cache_folder, expand_home
from hear_byola.core.wholefile import replacing

__all__ = [
    "FileState",
    "cache_folder",
    "expand_home",
    "file_state",
    "move_directory",
    "new_directory",
    "remove_abandoned",
    "replacing",
    "write_file",
]

_MANY = 100
"""Number of files above which the whole file system is synced in one call. Syncing a hundred
thousand files one by one takes many minutes."""

_ABANDONED_AFTER = 86_400.0
"""Seconds without a change after which the temporary files of unknown processes are removed."""


def write_file(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` in one step; several processes may do so at once.

    Readers see the old content or the new one. The folder is made if it does not exist, and text
    is written as UTF-8; what UTF-8 lacks (lone surrogates, from foreign texts and file names) is
    written as an escape.

    Raises:
        OSError: with ``path`` as its file name.
    """
    with replacing(path, one_writer=False) as temporary:
        temporary.write_bytes(_encoded(content))


def _encoded(content: str | bytes) -> bytes:
    return content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content


@contextlib.contextmanager
def new_directory(final: Path) -> Iterator[Path]:
    """Yield a temporary directory that becomes ``final`` when the block ends without an error.

    If another process has made ``final`` meanwhile, its directory stays and ours is dropped: a
    directory is named by what it was made from, so both have the same content.

    Raises:
        OSError: ``final`` cannot be made. The error names ``final``, never the temporary directory.
    """
    temporary = temporary_beside(final)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        try:
            move_directory(temporary, final)
        except OSError:
            if not final.is_dir():
                raise
    except OSError as error:
        if error.errno and temporary.name in str(error.filename or temporary):
            error.filename, error.filename2 = str(final), None
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_directory(made: Path, final: Path) -> None:
    """Give a finished directory its name, once all that it contains is on the disk.

    Use it for directories that are made over several runs, and otherwise :func:`new_directory`.

    Raises:
        OSError: it could not be renamed, for example because ``final`` exists.
    """
    below = list(made.rglob("*"))
    if len(below) > _MANY and hasattr(os, "sync"):
        os.sync()
    else:
        for path in [*below, made]:
            _sync(path)
    made.rename(final)
    _sync(final.parent)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files and folders that ended processes have left in a folder.

    What a process of another machine or container has left is removed a day after its last change.
    """
    for path in folder.glob(".*.part"):
        maker = maker_of(path)
        ended = has_ended(maker)
        if ended is None:
            ended = bool(maker) and _last_change(path) < time.time() - _ABANDONED_AFTER
        if ended:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _last_change(path: Path) -> float:
    below: Iterable[Path] = path.rglob("*") if path.is_dir() else ()
    return max(each.stat().st_mtime for each in (path, *below))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
