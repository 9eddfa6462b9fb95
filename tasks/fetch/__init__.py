"""Fetching published task directories: download, check, unpack, move into place.

What is unfinished lies in a hidden folder of the tasks folder, one a task, and is gone on from; a
task directory appears complete or not at all.
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
from tasks.fetch.listener import FetchListener
from tasks.fetch.place import Place
from tasks.fetch.side_by_side import sentence, side_by_side
from tasks.fetch.space import check_space, expanded_estimate
from tasks.fetch.web import Patience, Web


@dataclass
class Fetched:
    """What became of each task, by name: its directory, or why there is none."""

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
    """Bring published tasks to ``tasks_dir``, or verify those that are there.

    A task that fails does not keep the others from being fetched. Everything unfinished is gone on
    from by another call, whatever ended this one.

    Args:
        cards: the tasks; each must be published.
        tasks_dir: folder that the task directories go to; made where it is not.
        mirror: folder with copies of the archives, or its address, to take them from.
        keep_archive: keep downloaded archives in ``tasks_dir/archives``, where they are looked for
            first.
        jobs: tasks that are fetched side by side, 1 or more.
        listener: is told how it goes.
        patience: how long to wait for servers.

    Raises:
        UserError: nothing can be fetched: no place on the disk, no such mirror.
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
    # An archive that is not kept goes once its task is there.
    at_once = sorted(loads, reverse=True)[: None if keep_archive else jobs]
    expanded = sum(expanded_estimate(place.card, archive.size or 0) for place, archive in work)
    check_space(tasks_dir, sum(at_once), expanded)
