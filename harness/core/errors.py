"""The exception for users' mistakes, and advice on errors of disks and folders."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from hear_byola.core.errors import UserError, did_you_mean, nearest
from hear_byola.core.filestate import FileState, file_state

__all__ = [
    "Damaged",
    "UserError",
    "damage_in",
    "did_you_mean",
    "did_you_mean_path",
    "disk_fault",
    "going_on",
    "is_damage",
    "nearest",
    "printable",
    "state_of",
    "text_of",
]

_LONGEST_TEXT = 2000
"""Characters of a foreign error's text that are kept."""

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
    errno.EEXIST: "Name another place",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.EFBIG: (
        "The file system or the limit of the process (ulimit -f) takes no file of this size: name "
        "another place, or raise the limit"
    ),
    errno.EIO: "The disk or its connection is at fault: name another place",
    errno.ENOENT: "It is missing or was removed: put it back, or name another place",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or use fewer --jobs",
    errno.ENFILE: "The machine has too many open files: use fewer --jobs",
    errno.ENOMEM: "Memory is short: use fewer --jobs",
    errno.EAGAIN: "The limit of processes is reached: raise it (ulimit -u), or use fewer --jobs",
    errno.ESTALE: "The network folder is gone: mount it again, and run the same command",
}


_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
"""Control characters other than tabs and ends of lines, which Windows writes as two characters."""

_LONGEST_PATH = 300  # characters of a path that an error repeats

_DAMAGE_OF_FILES = (errno.EINVAL, errno.ENOENT, errno.EISDIR, errno.ENOTDIR, None)
"""Numbers of the OSErrors that files with wrong content cause; all others are faults of the disk.
zipfile seeks to negative places in damaged archives (EINVAL)."""


class Damaged(UserError):
    """Files that were computed, and can be computed again, are damaged.

    Attributes:
        folder: the folder that contains them.
        reason: what is wrong.
        state: identifies the folder that was read; None if it does not exist.
    """

    def __init__(self, folder: Path, reason: str, state: FileState | None) -> None:
        super().__init__(folder, reason, state)
        self.folder = folder
        self.reason = reason
        self.state = state

    def __str__(self) -> str:
        return (
            f"{self.folder} is damaged ({self.reason}). Run again to make it anew, or delete that "
            "folder."
        )


@contextlib.contextmanager
def damage_in(folder: Path) -> Iterator[None]:
    """Raise :class:`Damaged` if files of a folder cannot be read because of their content."""
    state = state_of(folder)
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # damaged files raise all kinds
        if not is_damage(error):
            raise
        raise Damaged(folder, text_of(error), state) from error


def state_of(folder: Path) -> FileState | None:
    """Return what identifies a folder until another one takes its place; None if there is none."""
    with contextlib.suppress(OSError):
        return file_state(folder)
    return None


def is_damage(error: Exception) -> bool:
    """Return whether an error on reading our own files means that their content is wrong.

    What libraries raise for wrong content is not limited to documented exceptions. Faults of the
    disk, for example too many open files, are no damage.
    """
    return not isinstance(error, OSError) or error.errno in _DAMAGE_OF_FILES


def text_of(error: BaseException) -> str:
    """Return type and text of an error, printable and not longer than 2,000 characters.

    Foreign exceptions may have a text of megabytes, or none because making it fails.
    """
    try:
        text = printable(str(error)).strip()
    except Exception:  # a foreign exception can fail to make its text
        text = ""
    if len(text) > _LONGEST_TEXT:
        text = f"{text[:_LONGEST_TEXT]}... ({len(text):,} characters)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def printable(text: str) -> str:
    """Return a text with escapes for what no terminal prints.

    These are lone surrogates, which UTF-8 lacks, and control characters, which would change colours
    or move the cursor.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def did_you_mean_path(path: Path, pattern: str = "*") -> str:
    """Return :func:`did_you_mean` for a missing path, with names from its folder.

    ``pattern`` is a glob that selects the files and folders to suggest. A name with a suffix is
    compared without suffixes, because a common suffix makes short names similar.
    """
    folder = path.parent
    if not folder.is_dir():
        return f" There is no folder '{folder}'."
    hidden = path.name.startswith(".")
    found = [each.name for each in folder.glob(pattern) if hidden or not each.name.startswith(".")]
    names = sorted(found, key=lambda name: (Path(name).suffix == path.suffix, name))
    if not path.suffix:
        return did_you_mean(path.name, names)
    stems = {Path(name).stem: name for name in names}  # of equal stems, the one of that suffix
    near = nearest(path.stem, stems)
    return did_you_mean(stems[near], [stems[near]]) if near else ""


def disk_fault(error: OSError) -> str:
    """Return an error of a disk or folder with advice to the user; "" if there is no advice."""
    advice = _ADVICE.get(error.errno or 0)
    if advice is None:
        return ""
    name = printable(str(error.filename or ""))
    where = f"{name if len(name) <= _LONGEST_PATH else name[:_LONGEST_PATH] + '...'}: " * bool(name)
    return f"{where}{error.strerror}. {advice}."


@contextlib.contextmanager
def going_on(say: Callable[[str], None]) -> Iterator[None]:
    """Report errors of disks and folders, and continue: for files that can be made again."""
    try:
        yield
    except OSError as error:
        say(disk_fault(error) or text_of(error))
