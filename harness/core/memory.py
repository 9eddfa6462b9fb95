"""A cache on disk of facts about files. An entry is valid while its file does not change."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from harness.core.files import FileState, file_state, write_file

_VERSION = 3


class FileMemory:
    """A cache of one text per file, keyed by path and :class:`harness.core.files.FileState`.

    A file that changed less than 3 s ago is not stored: it could change again and keep its times.

    Args:
        path: the cache, a JSON file; an absent, damaged or outdated one counts as empty.
        verify: ignore the stored texts, so that each is found out again once.
        read_only: store nothing on disk.
        seen: states of files, as text by path, which are not looked at again. A file that is not
            in it is added. Caches that share it look at each file once. If None, they look each
            time.
    """

    def __init__(
        self,
        path: Path,
        verify: bool = False,
        read_only: bool = False,
        seen: dict[str, str] | None = None,
    ) -> None:
        self._path = path
        self._read_only = read_only
        self._seen = seen
        self._old = {} if verify else _load(path)
        self._new: dict[str, str] = {}

    def known(self, file: Path | str) -> str | None:
        """Return the text stored for ``file`` in its present (or ``seen``) state, if any.

        Raises:
            OSError: the file's state cannot be read.
        """
        key = _key(file)
        prefix = self._seen.get(key) if self._seen else None
        if prefix is None:
            prefix = self._prefix(key, file_state(key))
        entry = self._new.get(key) or self._old.get(key, "")
        return entry[len(prefix) :] if entry.startswith(prefix) else None

    def recall(self, file: Path | str, find_out: Callable[[], str]) -> str:
        """Return the text stored for ``file``; otherwise call ``find_out`` and store its result.

        Raises:
            OSError: the file's state cannot be read. Errors of ``find_out`` are raised too.
        """
        text = self.known(file)
        if text is None:
            key = _key(file)
            state = file_state(key)  # before find_out: a change during it invalidates the entry
            settled = state.settled()
            text = find_out()
            if settled:
                self._new[key] = self._prefix(key, state) + text
        return text

    def _prefix(self, key: str, state: FileState) -> str:
        size, mtime, ctime, inode = state
        prefix = f"{size} {mtime} {ctime} {inode} "
        if self._seen is not None:
            self._seen[key] = prefix
        return prefix

    def save(self) -> None:
        """Add the new entries to the cache file in one step; keep those of other processes."""
        if self._new and not self._read_only:
            self._old = {**_load(self._path), **self._new}
            self._new = {}
            write_file(self._path, json.dumps({"version": _VERSION, "files": self._old}))


def _key(file: Path | str) -> str:
    key = os.fspath(file)
    return key if key.startswith(os.sep) else os.path.abspath(key)  # isabs is slower


def _load(path: Path) -> dict[str, str]:
    """Return path -> "size mtime_ns ctime_ns inode text"; plain strings load fast."""
    try:
        content = json.loads(path.read_bytes())
        files: dict[str, str] = content["files"]
        if content["version"] == _VERSION and set(map(type, files.values())) <= {str}:
            return files
    except Exception:  # damaged files raise all kinds
        pass
    return {}
