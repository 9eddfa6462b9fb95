"""Doing several tasks at once, each in a thread, so that one that fails stops no other."""

from __future__ import annotations

import errno
import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.filesize import decimal

from harness.core.errors import UserError
from tasks.fetch.web import Stopped

_GRACE = 2.0
"""How long a stopped program waits for its threads, in seconds. What they hold needs no rescue."""


def side_by_side(
    work: Mapping[str, Callable[[], None]],
    threads: int,
    stop: threading.Event,
    ended: Callable[[str], None],
) -> dict[str, str]:
    """Do all of ``work``; return a sentence for each that failed.

    When the user stops the program, ``stop`` is set, and what runs should raise Stopped soon.

    Args:
        work: what to do, by name.
        threads: how many to do at once.
        stop: is set when the rest is not to be done.
        ended: called with each name that is done or has failed.
    """
    waiting = deque(work)
    failures: dict[str, str] = {}
    faults: list[BaseException] = []

    def worker() -> None:
        while not stop.is_set():
            try:
                name = waiting.popleft()
            except IndexError:
                return
            try:
                work[name]()
            except (UserError, OSError) as error:
                failures[name] = sentence(error)
            except Stopped:
                return
            except BaseException as error:
                faults.append(error)
                stop.set()
            finally:
                ended(name)

    # Daemons: a thread that waits for a server does not hold up the end of a stopped program.
    running = [threading.Thread(target=worker, daemon=True) for _ in range(min(threads, len(work)))]
    try:
        for thread in running:
            thread.start()
        for thread in running:
            while thread.is_alive():
                thread.join(0.1)
    except BaseException:
        stop.set()
        for thread in filter(threading.Thread.is_alive, running):
            thread.join(_GRACE / len(running))
        raise
    if faults:
        raise faults[0]
    return failures


def sentence(error: UserError | OSError) -> str:
    """Say what went wrong with a task."""
    if isinstance(error, UserError):
        return str(error)
    place = error.filename or "a file"
    if error.errno == errno.ENOSPC and isinstance(place, str):
        free = shutil.disk_usage(next(p for p in Path(place).parents if p.exists())).free
        return f"The disk is full: {place} cannot be written, with {decimal(free)} free."
    return f"{place}: {error.strerror or error}."
