"""The code that runs on the nodes of a Ray cluster.

Ray gets it by value, so that it can also report a node where hear-byola cannot be imported. It
therefore uses only the standard library at first, and imports our modules when it has the path.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

Place = dict[str, Any]
"""Where calls run as in the driver: ``directory`` and ``path`` are its working directory and import
path, ``marker`` is a file in the run's folder."""


def enter(place: Place) -> None:
    """Take over the working directory and the import path of the driver; touch the marker.

    Raises:
        FileNotFoundError: this machine does not see the run's folder, or the working directory.
    """
    for what, path in (("the folder", place["marker"]), ("the directory", place["directory"])):
        if not os.path.exists(path):
            folder = os.path.dirname(path) if path == place["marker"] else path
            raise FileNotFoundError(f"{socket.gethostname()} does not see {what} {folder}")
    with contextlib.suppress(OSError):  # the driver only does not learn that a call has started
        os.utime(place["marker"])
    os.chdir(place["directory"])
    ours = place["path"]
    sys.path[:] = [*ours, *(entry for entry in sys.path if entry not in ours)]


def report(place: Place) -> dict[str, str]:
    """Return the versions that this machine has; under ``fault`` why it cannot be used, if so."""
    try:
        enter(place)
        from harness.core.ray.versions import versions

        return versions()
    except ImportError as error:
        return {"fault": f"hear-byola cannot be imported ({error})"}
    except OSError as error:
        return {"fault": str(error)}


def run_calls(place: Place, calls: list[bytes], device: str) -> tuple[list[bytes], float]:
    """Run pickled calls in this process; return their outcomes and the seconds that they took."""
    enter(place)
    from harness.core.calls import answer

    began = time.perf_counter()
    return [answer(call, device=device) for call in calls], time.perf_counter() - began


class ModelCaller:
    """Runs calls of foreign code in a worker process beside this one, which it cannot harm.

    Args:
        place: see :data:`Place`.
        device: of the calls.
        threads: number of threads of a call.
        imports: see :class:`harness.core.workers.Workers`.
    """

    def __init__(self, place: Place, device: str, threads: int, imports: str) -> None:
        self._place = place
        self._device = device
        self._threads = str(threads)
        self._imports = imports
        self._workers: Any = None

    def ready(self) -> None:
        """Return as soon as the actor has its device."""

    def run(self, calls: list[bytes], isolate: str, limit: bytes) -> tuple[list[bytes], float]:
        """Run pickled calls; return their outcomes and the seconds that they took.

        Args:
            calls: the calls.
            isolate: see :meth:`harness.core.workers.Workers.submit`.
            limit: a pickled limit, or None pickled.
        """
        enter(self._place)
        from harness.core.calls import answer, outcome_of
        from harness.core.workers import Workers

        if self._workers is None:
            names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
            threads = dict.fromkeys(names, self._threads)
            self._workers = Workers([{"device": self._device}], threads, self._imports)
        began, allowed = time.perf_counter(), pickle.loads(limit)
        futures = [
            self._workers.submit(answer, call, isolate=isolate, limit=allowed) for call in calls
        ]
        return [outcome_of(future) for future in futures], time.perf_counter() - began


def run_aloud(place: Place, call: bytes) -> Iterator[tuple[str, bytes]]:
    """Run a pickled call, which gets a function that takes lines; yield the lines as they come.

    Yields:
        ``(line, b"")`` for each line, and ``("", outcome)`` at the end.
    """
    enter(place)
    from harness.core.calls import answer

    said: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def run() -> None:
        said.put(("", answer(call, say=lambda line: said.put((line, b"")))))

    threading.Thread(target=run, daemon=True).start()
    while True:
        line, outcome = said.get()
        yield line, outcome
        if outcome:
            return
