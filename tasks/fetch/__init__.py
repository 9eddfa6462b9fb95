"""Fetch published task directories: download, check, unpack, move into place.

The next call resumes an interrupted one. A task directory appears complete or not at all.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.core.errors import UserError
from tasks.cards.card import Card
from tasks.fetch.archive import Archive, Locator
from tasks.fetch.place import FetchListener, Place
from tasks.fetch.side_by_side import sentence, side_by_side
from tasks.fetch.space import check_space, expanded_estimate
from tasks.fetch.web import Patience, Web

__all__ = ["FetchListener", "Fetched", "Patience", "fetch"]


@dataclass
class Fetched:
    """The result for each task, by name: its directory, or the reason why there is none."""

    directories: dict[str, Path] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def fetch(
    cards: Sequence[Card],
    tasks_dir: Path,
    *,
    mirror: str | None = None,
    keep_archive: bool = False,
    jobs: int = 3,
    listener: FetchListener | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """Fetch published tasks to ``tasks_dir``; verify those that exist already.

    If a task fails, the others are fetched nevertheless. Another call resumes unfinished downloads,
    even if the process was killed.

    Args:
        cards: the tasks; each must be published.
        tasks_dir: folder of the task directories; made if it does not exist.
        mirror: folder with copies of the archives, or its URL.
        keep_archive: keep downloaded archives in ``tasks_dir/archives``, which is always searched
            first.
        jobs: number of tasks to fetch at once, 1 or more.
        listener: receives the progress.
        patience: time limits, and the number of tries.

    Raises:
        UserError: nothing can be fetched, for example because the disk is too full.
    """
    listener, patience = listener or FetchListener(), patience or Patience()
    stop = threading.Event()
    try:
        tasks_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{tasks_dir} cannot be made: {error.strerror}.") from error
    fetched = Fetched()
    work = []
    with Web(patience, stop) as web:
        locator = Locator(web, mirror)
        for card in cards:
            place = Place(card, tasks_dir, listener)
            try:
                if place.directory.exists():
                    place.verify()
                    fetched.directories[card.name] = place.directory
                else:
                    work.append((place, place.locate(locator)))
            except (UserError, OSError) as error:
                fetched.failures[card.name] = sentence(error)
    _check_space(work, tasks_dir, keep_archive, jobs)

    def one(place: Place, archive: Archive) -> None:
        with Web(patience, stop) as web:
            place.install(archive, web, keep_archive)
        fetched.directories[place.card.name] = place.directory

    calls = {place.card.name: partial(one, place, archive) for place, archive in work}
    fetched.failures |= side_by_side(calls, jobs, stop, listener.ended)
    return fetched


def _check_space(
    work: Sequence[tuple[Place, Archive]], tasks_dir: Path, keep_archive: bool, jobs: int
) -> None:
    loads = []
    for place, archive in work:
        if isinstance(archive.place, str):
            have = place.part.stat().st_size if place.part.is_file() else 0
            loads.append(max(0, (archive.size or 0) - have))
    # An archive that is not kept is removed when its task is complete.
    at_once = sorted(loads, reverse=True)[: None if keep_archive else jobs]
    expanded = sum(expanded_estimate(place.card, archive.size or 0) for place, archive in work)
    check_space(tasks_dir, sum(at_once), expanded)
