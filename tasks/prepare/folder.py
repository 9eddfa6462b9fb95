"""Find files in the folder of a corpus and inside its archives."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch, translate
from pathlib import Path
from typing import NoReturn

from harness.core.counts import abridged, plural
from harness.core.errors import UserError, did_you_mean_path
from harness.core.progress import Pace
from tasks.prepare.archive import SUFFIXES, Expanded, File, Say, expanded_path, files_of

_SHOWN = 6
_LINE_EVERY = 5.0  # seconds


class SourceFolder:
    """The files of a folder by their path below it, with ``/`` between parts, without hidden files.

    The paths of an archive's files, once it is opened, begin with the archive's path.

    Args:
        path: the folder.
        room: folder in which a large compressed tar may be expanded.
        say: called if one is expanded.
        tops: patterns of the top folders and archives of a corpus. A file's ``name`` is its path
            from the last of them on. It is the same if the user names a folder above or below.

    Raises:
        UserError: there is no such folder.
    """

    def __init__(self, path: Path, room: Path, say: Say, tops: Sequence[str] = ()) -> None:
        if not path.is_dir():
            if path.exists():
                raise UserError(f"--source {path} is a file. Name the folder that contains it.")
            raise UserError(f"--source {path} does not exist.{did_you_mean_path(path)}")
        self.path = path
        self._room = room
        self._say = say
        self._own_name = path.resolve().name
        self._top = re.compile("|".join(map(translate, tops)) or r"(?!)")
        self._files = dict(_walk(path.absolute(), self._called))
        self._opened: set[Path] = set()
        self._expanded: list[Expanded] = []

    def _called(self, path: str) -> str:
        """Return a path from its last top folder on; the folder itself can be the top folder."""
        parts = [self._own_name, *path.split("/")] if path else [self._own_name]
        tops = (i for i in reversed(range(len(parts))) if self._top.match(parts[i]))
        return "/".join(parts[next(tops, 1) :])

    def find(self, pattern: str, archives: Sequence[str] = ()) -> list[tuple[re.Match[str], File]]:
        """Return the files whose whole path matches: files on disk, then files in archives.

        If there is none, archives whose names match a pattern of ``archives`` (``*`` matches
        anything) are opened, and the search is repeated.
        """
        found = self._matching(pattern)
        if not found and self.open_archives(archives):
            found = self._matching(pattern)
        return found

    def _matching(self, pattern: str) -> list[tuple[re.Match[str], File]]:
        compiled = re.compile(pattern)
        matches = ((compiled.fullmatch(name), file) for name, file in self._files.items())
        return [(match, file) for match, file in matches if match]

    def root(self, landmark: str, archives: Sequence[str], corpus: str) -> str:
        """Return the folder of a corpus, found by a file in it: the path before ``landmark``.

        Args:
            landmark: a path; ``*`` matches anything within a part.
            archives: as :meth:`find` takes them.
            corpus: its name, for messages.

        Returns:
            The folder with a ``/`` at its end, or "".

        Raises:
            UserError: there is no such file; the message names it and what was found.
        """
        tail = re.escape(landmark).replace(r"\*", "[^/]*")
        found = self.find(f"(?P<root>(?:.*/)?){tail}", archives)
        if not found:
            self.refuse(landmark, archives, corpus)
        roots = {(bool(file.member), match["root"]) for match, file in found}
        return min(roots, key=lambda root: (root[0], root[1].count("/"), root[1]))[1]

    def refuse(self, wanted: str, archives: Sequence[str], corpus: str) -> NoReturn:
        """Raise the UserError for a missing corpus, with what was looked for and what was found."""
        in_archives = f" and in archives named {' or '.join(archives)}" if archives else ""
        tops = sorted({name.partition("/")[0] for name in self._files})
        there = abridged(tops, _SHOWN)
        raise UserError(
            f"{self.path} does not contain {corpus}: looked for {wanted} in it, in all folders "
            f"below{in_archives}; found "
            + (f"{plural(len(self._files), 'file')}, in {there}." if tops else "no file.")
        )

    def open_archives(self, patterns: Sequence[str]) -> bool:
        """Add the files of new archives that match ``patterns``; return whether there are any."""
        new = [
            (name, path)
            for name, path in ((name, Path(file.path)) for name, file in self._files.items())
            if path.name.endswith(SUFFIXES)
            and any(fnmatch(path.name, pattern) for pattern in patterns)
            and path not in self._opened
        ]
        pace = Pace(_LINE_EVERY)
        for number, (name, path) in enumerate(new):
            if pace.due():
                self._say(f"listed {number:,} of {plural(len(new), 'archive')}")
            self._opened.add(path)
            called = self._called(name)
            for inside, member in self._files_of(path):
                if not _hidden(inside):
                    self._files[f"{name}/{inside}"] = dataclasses.replace(
                        member, name=f"{called}/{inside}"
                    )
        return bool(new)

    def _files_of(self, archive: Path) -> list[tuple[str, File]]:
        """Return the files of an archive, and keep its expanded copy, if any, from removal."""
        expanded = expanded_path(archive, self._room)
        while True:
            found = list(files_of(archive, self._room, self._say))
            if not any(file.path == str(expanded) for _, file in found):
                return found
            with contextlib.suppress(FileNotFoundError):  # another process has just removed it
                self._expanded.append(Expanded(expanded))
                return found

    def get(self, name: str) -> File | None:
        """Return the file of that path, or None if there is none."""
        return self._files.get(name)

    def text(self, name: str) -> str:
        """Return the text of a file.

        Raises:
            UserError: it is missing or empty, cannot be read, or is not UTF-8.
        """
        file = self.get(name)
        if file is None or not file.size:
            raise UserError(f"{self.path / name} is missing or empty.")
        try:
            return file.content().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not UTF-8 text (byte {error.start}).") from error
        except OSError as error:
            raise UserError(f"{file} cannot be read ({error.strerror}).") from error

    def table(self, name: str, columns: Sequence[str]) -> Iterator[dict[str, str]]:
        """Yield the rows of a CSV file that has at least these columns.

        Raises:
            UserError: it is missing, is not CSV, lacks a column, or a row is too short.
        """
        rows = csv.DictReader(io.StringIO(self.text(name), newline=""))
        try:
            if lacking := [column for column in columns if column not in (rows.fieldnames or ())]:
                raise UserError(
                    f"{self.path / name} needs the columns {', '.join(columns)}; it lacks "
                    f"{', '.join(lacking)}."
                )
            for row in rows:
                if any(not row[column] for column in columns):
                    raise UserError(
                        f"{self.path / name}, line {rows.line_num}: a value is missing."
                    )
                yield row
        except csv.Error as error:
            raise UserError(f"{self.path / name}, line {rows.line_num}: {error}.") from error

    def discard_expanded(self) -> None:
        """Remove the expanded archives that no other process uses."""
        for expanded in self._expanded:
            expanded.discard()
        self._expanded.clear()

    def close(self) -> None:
        """Release the expanded archives, so that other processes can remove them."""
        for expanded in self._expanded:
            expanded.close()


def _walk(folder: Path, called: Callable[[str], str]) -> Iterator[tuple[str, File]]:
    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        stat = os.stat(here)
        if (stat.st_dev, stat.st_ino) in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not _hidden(name))
        below = Path(here).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        own = posixpath.join(called(prefix.rstrip("/")), "")
        for name in sorted(files):
            path = os.path.join(here, name)
            if not _hidden(name) and os.path.isfile(path):
                yield prefix + name, File(path, size=os.path.getsize(path), name=own + name)


def _hidden(path: str) -> bool:
    """Return whether a part of a path is hidden or is a folder that macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))
