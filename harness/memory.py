"""What was once found out about files, remembered on disk for as long as they stay the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from harness.files import write_file

_VERSION = 1


class FileMemory:
    """One text per file, known again by its path, size, modification time (ns) and inode.

    Args:
        path: a JSON file; one that is absent, damaged or of another version counts as empty.
        verify: find out everything again, once in this object's life, whatever is remembered.
    """

    def __init__(self, path: Path, verify: bool = False) -> None:
        self._path = path
        self._old = {} if verify else _load(path)
        self._new: dict[str, str] = {}

    def known(self, file: Path | str) -> str | None:
        """The text remembered for ``file`` as it is now, if any.

        Raises:
            OSError: when the file cannot be seen.
        """
        key = _key(file)
        return self._known(key, _identity(key))

    def recall(self, file: Path | str, find_out: Callable[[], str]) -> str:
        """The text remembered for ``file``, else what ``find_out`` returns, remembered from now on.

        Raises:
            OSError: when the file cannot be seen; and whatever ``find_out`` raises.
        """
        key = _key(file)
        identity = _identity(key)  # before finding out: a file that changes meanwhile is new again
        text = self._known(key, identity)
        if text is None:
            text = find_out()
            self._new[key] = identity + text
        return text

    def _known(self, key: str, identity: str) -> str | None:
        entry = self._new.get(key) or self._old.get(key, "")
        return entry[len(identity) :] if entry.startswith(identity) else None

    def save(self) -> None:
        """Add what is new to the file, whole or not at all; entries of other processes stay."""
        if self._new:
            self._old = {**_load(self._path), **self._new}
            self._new = {}
            write_file(self._path, json.dumps({"version": _VERSION, "files": self._old}))


def _key(file: Path | str) -> str:
    key = os.fspath(file)
    return key if os.path.isabs(key) else os.path.abspath(key)


def _identity(key: str) -> str:
    status = os.stat(key)
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino} "


def _load(path: Path) -> dict[str, str]:
    """Path -> "size mtime_ns inode text": one string each, as 100,000 must load in an instant."""
    try:
        content = json.loads(path.read_bytes())
        if content["version"] == _VERSION:
            return dict(content["files"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}
