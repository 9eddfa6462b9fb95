"""Start worker processes as copies of one process, which imports what they need once.

A fresh interpreter that imports torch takes two seconds of CPU time, a copy of a process that has
imported it some hundredths. The server is the process that is copied. It does nothing but import,
so a copy inherits no threads, no CUDA and no state of a model.

A process has at most one server, which is started with the first worker and ends with its process.
The command line makes a copy of itself the server before it does any work
(:func:`serve_from_here`). Only Linux has a server. Elsewhere system libraries do not survive a
copy, and each worker is a fresh interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection, Pipe
from typing import Protocol

from harness.core.copies import Order, Work, flush, serve
from harness.core.processes import KILL


class Child(Protocol):
    """A started process; ``subprocess.Popen`` is one."""

    def poll(self) -> int | None:
        """Return the exit code; None while the process runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        ...

    def kill(self) -> None:
        """End the process at once."""
        ...


def start(
    work: Work, connection: socket.socket, environment: Mapping[str, str], imports: str = ""
) -> Child:
    """Start a worker.

    Args:
        work: a function of a module.
        connection: passed to ``work`` as its file number.
        environment: all environment variables of the worker. The numbers of threads among them
            also apply to libraries that the server has loaded.
        imports: name of a module that the server imports before it makes the copy.
    """
    path = tuple(entry for entry in sys.path if isinstance(entry, str))
    if sys.platform != "linux":
        return _interpreter(work, connection, environment, path)
    order = Order(work, imports, dict(environment), path)
    with _lock:
        try:
            return _server(order).start(order, connection)
        except OSError:  # the server was killed
            return _server(order, anew=True).start(order, connection)


def allow_copies() -> None:
    """Declare that this process does nothing but one command of ours, so that it can be copied."""
    global _copies_allowed
    _copies_allowed = True


def serve_from_here() -> None:
    """Make a copy of this process the server of its workers, if copies are allowed.

    Call it after the imports that workers need and before any work: the copy has this thread
    alone, and locks that other threads hold would stay locked in it.
    """
    global _started
    if sys.platform != "linux" or not _copies_allowed:
        return
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    flush()
    process = os.fork()
    if process == 0:
        ours.close()
        serve(theirs.fileno(), parent)
    theirs.close()
    with _lock:
        _started = _Server(ours, process)


class _Server:
    """The server, as its parent process sees it."""

    def __init__(self, control: socket.socket, process: int) -> None:
        self.owner = os.getpid()
        self._control = control
        self._process = process
        atexit.register(self._end)

    def _end(self) -> None:
        if self.owner == os.getpid():
            with contextlib.suppress(OSError):  # it has ended
                self._control.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                os.waitpid(self._process, 0)

    def start(self, order: Order, connection: socket.socket) -> _Copy:
        """Order a copy.

        Raises:
            OSError: the server has ended.
        """
        ours, theirs = Pipe()
        with theirs, open(os.devnull, "wb") as nothing, contextlib.ExitStack() as opened:
            folder = os.open(".", os.O_PATH)
            opened.callback(os.close, folder)
            outputs = [number if _is_open(number) else nothing.fileno() for number in (1, 2)]
            files = [theirs.fileno(), connection.fileno(), folder, *outputs]
            socket.send_fds(self._control, [b"+"], files)
        with contextlib.suppress(OSError):  # if the server ends now, so does the copy
            ours.send(order)
        return _Copy(ours)


class _Copy:
    """A worker that the server has started; it has the methods of :class:`Child`."""

    def __init__(self, status: Connection) -> None:
        self._status = status
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None and self._status.poll():
            self._code = self._received()
            self._status.close()
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None and not self._status.poll(timeout):
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        code = self.poll()
        assert code is not None
        return code

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._status.send("kill")

    def _received(self) -> int:
        try:
            return self._status.recv()
        except (EOFError, OSError):
            return -KILL  # the server was killed, and its copies with it


# A process has one server, which all its pools share; threads of several pools start workers.
_lock = threading.Lock()
_started: _Server | None = None
_copies_allowed = False


def _server(order: Order, *, anew: bool = False) -> _Server:
    """Return the server of this process; start a fresh interpreter if there is none."""
    global _started
    if anew or _started is None or _started.owner != os.getpid():
        ours, theirs = socket.socketpair()
        with theirs:
            process = _interpreter(serve, theirs, order.environment, order.path)
        _started = _Server(ours, process.pid)
    return _started


def _interpreter(
    work: Work, connection: socket.socket, environment: Mapping[str, str], path: tuple[str, ...]
) -> subprocess.Popen:
    """Start a fresh interpreter that calls ``work``.

    The path is set before any import, so that no file of the working directory can be taken for a
    module of ours.
    """
    number = connection.fileno()
    code = (
        f"import sys; sys.path[:] = {list(path)!r}; "
        f"from {work.__module__} import {work.__name__} as work; work({number}, {os.getpid()})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        pass_fds=[number],
    )


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
