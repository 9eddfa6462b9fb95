"""Copy this process on demand: what the server of :mod:`harness.core.forkserver` does."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import NoReturn

from threadpoolctl import threadpool_limits

Work = Callable[[int, int], None]
"""What a worker calls: with the file number of its connection, and its parent's process number."""

_LOOK_EVERY = 1.0
"""Seconds between two checks of the server whether its parent still runs. A process that the parent
has forked can keep the connection open after the parent's death."""


@dataclass(frozen=True)
class Order:
    """The arguments with which a worker starts (:func:`harness.core.forkserver.start`)."""

    work: Work
    imports: str
    environment: dict[str, str]
    path: tuple[str, ...]


def serve(control: int, parent: int) -> NoReturn:
    """Make copies until the parent ends or closes the connection; runs in the server."""
    try:
        sys.stdout = sys.__stdout__  # results are printed by the parent alone
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        with socket.socket(fileno=control) as connection:
            _Copies(connection, parent).make()
    except BaseException:  # nothing else would report it before the process ends
        traceback.print_exc()
    finally:
        # Neither exit handlers nor buffers of the process that this one was copied from.
        os._exit(0)


class _Copies:
    """The copies that the server has made and that still run."""

    def __init__(self, control: socket.socket, parent: int) -> None:
        self._control = control
        self._parent = parent
        self._status: dict[int, Connection] = {}
        # A byte arrives in this pipe when a copy ends.
        self._ended, self._wake = os.pipe()
        os.set_blocking(self._ended, False)
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)

    def make(self) -> None:
        """Make copies until the parent ends or closes the connection."""
        try:
            self._make()
        finally:
            for process in self._status:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                _kill_group(process)

    def _make(self) -> None:
        while os.getppid() == self._parent:
            status = list(self._status.values())
            ready = wait([self._control, self._ended, *status], _LOOK_EVERY)
            if self._ended in ready:
                os.read(self._ended, 4096)
            for process, connection in self._status.items():
                if connection in ready:  # the parent asks for its end
                    with contextlib.suppress(EOFError, OSError):
                        connection.recv()
                    os.kill(process, signal.SIGKILL)
            self._report_ends()
            if self._control in ready:
                message, files, _, _ = socket.recv_fds(self._control, 1, 5)
                if not message:
                    return
                self._copy(files)

    def _report_ends(self) -> None:
        for process in list(self._status):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                _kill_group(process)
                with self._status.pop(process) as connection, contextlib.suppress(OSError):
                    connection.send(os.waitstatus_to_exitcode(status))

    def _copy(self, files: list[int]) -> None:
        status = Connection(files[0])
        try:
            order: Order = status.recv()
            if order.imports:
                importlib.import_module(order.imports)
        except Exception:  # the worker meets the same error at its first call
            traceback.print_exc()
            status.close()
        else:
            gc.freeze()  # collections in the copies would write to shared pages
            server = os.getpid()
            process = os.fork()
            if process == 0:
                self._status[0] = status
                self._begin(order, server, *files[1:])
            self._status[process] = status
        for file in files[1:]:
            os.close(file)

    def _begin(
        self, order: Order, server: int, connection: int, folder: int, *outputs: int
    ) -> NoReturn:
        """Be a worker; runs in the copy."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            for status in self._status.values():
                status.close()
            os.close(self._ended)
            os.close(self._wake)
            os.fchdir(folder)
            os.close(folder)
            with open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), 0)
            for number, file in enumerate(outputs, start=1):
                os.dup2(file, number)
                os.close(file)
            os.environ.clear()
            os.environ.update(order.environment)
            sys.path[:] = order.path
            _take_threads()
            if numpy := sys.modules.get("numpy"):
                numpy.random.seed()  # as in a fresh interpreter, and unlike in other copies
            order.work(connection, server)
            code = 0
        except BaseException:  # nothing else would report it before the process ends
            traceback.print_exc()
        finally:
            flush()
            os._exit(code)


def _kill_group(process: int) -> None:
    """Kill what a worker that has ended has started and left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def _take_threads() -> None:
    """Apply the environment's numbers of threads to libraries that are loaded already."""
    for kind, name in (("openmp", "OMP_NUM_THREADS"), ("blas", "OPENBLAS_NUM_THREADS")):
        with contextlib.suppress(KeyError, ValueError):
            threadpool_limits(int(os.environ[name]), user_api=kind)


def flush() -> None:
    """Write what standard output and error have buffered, so that no copy writes it again."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
