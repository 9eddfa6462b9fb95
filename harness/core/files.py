"""Writing of files and directories that appear whole or not at all, and paths that a user gives.

Use :func:`replacing` for a file that is written piece by piece, :func:`write_file` for content in
memory, :func:`new_directory` for a folder.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from hear_byola.core.filestate import FileState, file_state
from hear_byola.core.userfolders import cache_folder, expand_home
from hear_byola.core.wholefile import replacing

__all__ = [
    "FileState",
    "cache_folder",
    "expand_home",
    "file_state",
    "move_directory",
    "new_directory",
    "replacing",
    "write_file",
]

_MANY = 100
"""Number of files above which the whole file system is synced in one call. Syncing a hundred
thousand files one by one takes many minutes."""


def write_file(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` in one step; several processes may do so at once.

    Readers see the old content or the new one. The folder is made if it does not exist, and text
    is written as UTF-8.

    Raises:
        OSError: with ``path`` as its file name.
    """
    with replacing(path, one_writer=False) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def new_directory(final: Path) -> Iterator[Path]:
    """Yield a temporary directory that becomes ``final`` when the block ends without an error.

    If another process has made ``final`` meanwhile, its directory stays and ours is dropped: a
    directory is named by what it was made from, so both have the same content.

    Raises:
        OSError: ``final`` cannot be made. The error names ``final``, never the temporary directory.
    """
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}")
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


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
