"""A worker process: it answers the calls of :class:`harness.core.workers.Workers`."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection

from harness.core.calls import answer
from harness.core.processes import end_with_parent, give_up_first


def work(connection: int, parent: int) -> None:
    """Answer calls of the parent process until it closes the connection; runs in the worker.

    Args:
        connection: file number of the socket to the parent.
        parent: process number of the parent.
    """
    global _to_parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    end_with_parent(parent)
    give_up_first()
    faulthandler.enable()  # shows where native code crashed
    os.set_inheritable(connection, False)
    with contextlib.suppress(EOFError, OSError), Connection(connection) as _to_parent:
        while True:
            content, extra = pickle.loads(_to_parent.recv_bytes())
            _to_parent.send_bytes(pickle.dumps(answer(content, **extra)))


_to_parent: Connection | None = None
"""The connection of this process, if it is a worker; units deep in a call use it."""


def is_worker() -> bool:
    """Return whether this process is a worker."""
    return _to_parent is not None


@dataclass(frozen=True)
class Sign:
    """A sign of life of a worker: what it does now, and the amount of work until the next one."""

    doing: str
    work: float


def sign_of_life(doing: str, work: float) -> None:
    """Tell the pool what this worker does now; for functions that workers run.

    Does nothing in a process that is no worker.

    Args:
        doing: a phrase, for the message if the worker dies or takes too long.
        work: amount of work until the next sign of life (:data:`harness.core.workers.Limit`).
    """
    if _to_parent is not None and threading.current_thread() is threading.main_thread():
        _to_parent.send_bytes(pickle.dumps(Sign(doing, work)))
