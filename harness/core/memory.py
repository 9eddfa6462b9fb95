"""What was once found out about files, remembered on disk for as long as they stay the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from harness.core.files import FileState, file_state, write_file

_VERSION = 2


class FileMemory:
    """One text per file, known again by its path and :class:`harness.core.files.FileState`.

    A file that changed less than 3 s ago is not remembered: it could change again and keep its
    times.

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
        return self._known(key, _prefix(file_state(key)))

    def recall(self, file: Path | str, find_out: Callable[[], str]) -> str:
        """The text remembered for ``file``, else what ``find_out`` returns, which is remembered.

        Raises:
            OSError: when the file cannot be seen; and whatever ``find_out`` raises.
        """
        key = _key(file)
        state = file_state(key)  # before finding out: a file that changes meanwhile is new again
        text = self._known(key, _prefix(state))
        if text is None:
            settled = state.settled()
            text = find_out()
            if settled:
                self._new[key] = _prefix(state) + text
        return text

    def _known(self, key: str, prefix: str) -> str | None:
        entry = self._new.get(key) or self._old.get(key, "")
        return entry[len(prefix) :] if entry.startswith(prefix) else None

    def save(self) -> None:
        """Add what is new to the file, whole or not at all; entries of other processes stay."""
        if self._new:
            self._old = {**_load(self._path), **self._new}
            self._new = {}
            write_file(self._path, json.dumps({"version": _VERSION, "files": self._old}))


def _key(file: Path | str) -> str:
    key = os.fspath(file)
    return key if os.path.isabs(key) else os.path.abspath(key)


def _prefix(state: FileState) -> str:
    return f"{state.size} {state.mtime_ns} {state.ctime_ns} {state.inode} "


def _load(path: Path) -> dict[str, str]:
    """Return path -> "size mtime_ns ctime_ns inode text"; 100,000 strings load in an instant."""
    try:
        content = json.loads(path.read_bytes())
        if content["version"] == _VERSION:
            return dict(content["files"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}
