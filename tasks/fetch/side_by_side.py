"""Do several tasks at once, each in a thread; if one fails, the others continue.

concurrent.futures has no threads that end with the program: at exit, Python waits for the threads
of a pool, and one that reads from a silent server would delay the end of a stopped program.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping

from harness.core.errors import UserError, disk_fault
from tasks.fetch.web import Stopped

_GRACE = 2.0
"""Longest wait for the threads of a stopped program, in seconds."""


def side_by_side(
    work: Mapping[str, Callable[[], None]],
    threads: int,
    stop: threading.Event,
    ended: Callable[[str], None],
) -> dict[str, str]:
    """Do all of ``work``; return a sentence for each that failed.

    If the user stops the program, ``stop`` is set. Running work should then raise Stopped soon.

    Args:
        work: functions to call, by name.
        threads: number of functions that run at once.
        stop: set when no further work may start.
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
            except BaseException as error:  # raised again in the caller's thread
                faults.append(error)
                stop.set()
            finally:
                ended(name)

    running = [threading.Thread(target=worker, daemon=True) for _ in range(min(threads, len(work)))]
    try:
        for thread in running:
            thread.start()
        for thread in running:
            while thread.is_alive():
                thread.join(0.1)  # an endless join is not interruptible on every system
    except BaseException:  # an interrupt
        stop.set()
        for thread in filter(threading.Thread.is_alive, running):
            thread.join(_GRACE / len(running))
        raise
    if faults:
        raise faults[0]
    return failures


def sentence(error: UserError | OSError) -> str:
    """Return the reason why a task failed."""
    if isinstance(error, UserError):
        return str(error)
    return disk_fault(error) or f"{error.filename or 'a file'}: {error.strerror or error}."
