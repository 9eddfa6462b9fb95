"""Install one task: find its archive, download, check, unpack, move into place.

Unfinished work is in a hidden folder of the tasks folder, which one process uses at a time.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.core.errors import UserError
from harness.core.files import move_directory
from hear_byola.core.locks import claimed
from tasks.cards.card import Card
from tasks.fetch.archive import Archive, Locator, read_md5, write_md5
from tasks.fetch.download import Download, check, drop
from tasks.fetch.installed import verify, write_record
from tasks.fetch.space import LIMIT, expanded_estimate
from tasks.fetch.unpack import unpack
from tasks.fetch.web import Web

KEPT = "archives"
"""Folder below the tasks folder in which archives are kept; it can serve as a mirror."""


class FetchListener:
    """Receives the progress of fetching from several threads at once; does nothing with it."""

    def say(self, name: str, text: str) -> None:
        """Receive a sentence about the task ``name``."""

    def moved(self, name: str, stage: str, done: int, total: int | None) -> None:
        """Receive the progress of a task.

        Args:
            name: the task's name.
            stage: ``downloading``, ``checking`` or ``unpacking``.
            done: bytes done; decreases if the download starts again.
            total: bytes of the whole stage; None if the server does not give them.
        """

    def ended(self, name: str) -> None:
        """Receive the end of a task: no further calls are about it."""


class Place:
    """The directory of one task, and its installation."""

    def __init__(self, card: Card, tasks_dir: Path, listener: FetchListener) -> None:
        self.card = card
        self.directory = tasks_dir / card.directory
        self._unfinished = tasks_dir / f".{card.directory}.fetch"
        self._kept = tasks_dir / KEPT
        self._say = partial(listener.say, card.name)
        self._moved = partial(listener.moved, card.name)
        self.part = self._unfinished / "archive.part"

    def verify(self) -> None:
        """Compare the directory with the record of its installation.

        Raises:
            UserError: it differs.
        """
        if self._unfinished.exists():
            # A process that was killed at its end left it, or another process uses it.
            with claimed(self._unfinished) as mine:
                if mine:
                    shutil.rmtree(self._unfinished)
        self._verify()

    def _verify(self) -> None:
        inventory = verify(self.directory, self.card)
        if inventory is None:
            self._say(
                f"{self.directory} exists, but was not fetched by this command: "
                "`hear-byola tasks check` checks it"
            )
        else:
            self._say(f"{self.directory} exists, unchanged since its installation ({inventory})")

    def locate(self, locator: Locator) -> Archive:
        """Return the archive that was kept, otherwise the one that the locator finds.

        Raises:
            UserError: there is none.
        """
        if self.card.published is None:
            raise UserError(f"{self.card.name} is not published as an archive.")
        kept = self._kept / self.card.published.file
        if kept.is_file() and (md5 := read_md5(kept)) is not None:
            return Archive(kept.name, kept, kept.stat().st_size, md5, f"{kept.name}.md5")
        archive = locator.locate(self.card.published, self._say)
        if archive.md5 and kept.is_file() and kept.stat().st_size == archive.size:
            return replace(archive, place=kept)
        return archive

    def install(self, archive: Archive, web: Web, keep_archive: bool) -> None:
        """Download, check, unpack, and move into place.

        Raises:
            UserError: the archive cannot be downloaded or contains no task, or another process is
                fetching the task.
            Stopped: the user stopped the program.
        """
        with claimed(self._unfinished) as mine:
            if not mine:
                raise UserError(
                    "Another process is fetching this task into "
                    f"{self._unfinished.parent}: wait for it."
                )
            self._unfinished.mkdir(exist_ok=True)
            try:
                if self.directory.exists():  # another process was faster
                    self._verify()
                else:
                    self._install(archive, web, keep_archive)
            finally:
                if not (self.part.exists() and self.part.stat().st_size):
                    shutil.rmtree(self._unfinished, ignore_errors=True)

    def _install(self, archive: Archive, web: Web, keep_archive: bool) -> None:
        if isinstance(archive.place, str):
            Download(web, archive, self.part, self._say, self._moved).run()
            path = self.part
        else:
            check(archive, archive.place, web, self._moved)
            path = archive.place
        if archive.md5 is None:
            self._say(
                "the md5 of the archive is unknown, so only its size and gzip's checksum are "
                f"verified: there is no md5 file beside it, and {archive.witness}"
            )
        try:
            unpacked = self._unpack(archive, path, web)
            inventory = write_record(unpacked, self.card, archive)
            if keep_archive and path == self.part:
                self._keep(archive)
            move_directory(unpacked, self.directory)
        except UserError:
            # The archive is complete but contains no task: another call would fail, too.
            drop(self.part)
            raise
        finally:
            shutil.rmtree(self._unfinished / "unpacked", ignore_errors=True)
        drop(self.part)
        checked = f"md5 as in {archive.witness}" if archive.md5 else "md5 unknown"
        self._say(f"installed {self.directory} ({inventory}; {checked})")

    def _unpack(self, archive: Archive, path: Path, web: Web) -> Path:
        target = self._unfinished / "unpacked"
        shutil.rmtree(target, ignore_errors=True)
        return unpack(
            path,
            archive.file,
            self.card.directory,
            target,
            most_bytes=LIMIT * expanded_estimate(self.card, path.stat().st_size),
            moved=partial(self._moved, "unpacking"),
            stopped=web.stop.is_set,
        )

    def _keep(self, archive: Archive) -> None:
        self._kept.mkdir(exist_ok=True)
        kept = self._kept / archive.file
        self.part.replace(kept)
        if archive.md5 is not None:
            write_md5(kept, archive.md5)
