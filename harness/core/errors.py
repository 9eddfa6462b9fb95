"""The exception for users' mistakes, and advice on errors of disks and folders."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from pathlib import Path

from hear_byola.core.errors import UserError, did_you_mean, nearest

__all__ = ["UserError", "did_you_mean", "did_you_mean_path", "disk_fault", "going_on", "nearest"]

_ADVICE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT), "Make room there, or name a folder on another disk"
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        "Name a place that you may read and write, or change its permissions",
    ),
    errno.EROFS: "Name a place that can be written",
    errno.EISDIR: "A folder is in the place of a file: move it, or name another place",
    errno.ENOTDIR: "A file is in the place of a folder: move it, or name another place",
    errno.ENOTEMPTY: "A folder is in the place of a file: move it, or name another place",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.EFBIG: "The file system takes no file of this size: name another place",
    errno.EIO: "The disk or its connection is at fault: name another place",
    errno.ESTALE: "The network folder is gone: mount it again, and run the same command",
}


def did_you_mean_path(path: Path, pattern: str = "*") -> str:
    """Return :func:`did_you_mean` for a missing path, with names from its folder.

    ``pattern`` is a glob that selects the files and folders to suggest.
    """
    folder = path.parent
    if not folder.is_dir():
        return f" There is no folder '{folder}'."
    hidden = path.name.startswith(".")
    names = [each.name for each in folder.glob(pattern) if hidden or not each.name.startswith(".")]
    return did_you_mean(path.name, sorted(names))


def disk_fault(error: OSError) -> str:
    """Return an error of a disk or folder with advice to the user; "" if there is no advice."""
    advice = _ADVICE.get(error.errno or 0)
    if advice is None:
        return ""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}. {advice}."


@contextlib.contextmanager
def going_on(say: Callable[[str], None]) -> Iterator[None]:
    """Report errors of disks and folders, and continue: for files that can be made again."""
    try:
        yield
    except OSError as error:
        fault = disk_fault(error)
        if not fault:
            raise
        say(fault)
