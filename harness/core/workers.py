"""A pool of worker processes that reports how a worker died and loses only that worker's call.

``concurrent.futures.ProcessPoolExecutor`` drops all its work when one worker dies, does not report
the exit code, and offers no way to stop running work. ``multiprocessing`` imports the user's script
again in every worker. The workers of this pool import only what their functions need
(:mod:`harness.core.forkserver`).
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import queue
import signal
import socket
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from io import BufferedRWPair
from multiprocessing.connection import wait
from typing import Any

from harness.core.errors import UserError
from harness.core.forkserver import start
from harness.core.processes import KILL, end_with_parent, ending

_LOOK_EVERY = 1.0
"""Seconds between two checks whether a silent worker still runs. Its child processes can keep the
connection open after its death."""

_PATIENCE = 5.0
"""Seconds that a worker gets to end after it has closed its connection."""


class WorkerDied(Exception):
    """A worker process ended before it returned a result.

    The message is a phrase such as "was killed by signal 9 (Killed)".

    Attributes:
        code: its exit code; -N if signal N killed it.
    """

    def __init__(self, code: int) -> None:
        super().__init__(ending(code))
        self.code = code

    @property
    def advice(self) -> str:
        """Advice to the user, in one sentence."""
        if -self.code == KILL:
            return "Is memory short? Try fewer --jobs."
        return "See what it printed, and try --jobs 1."


class Workers:
    """Runs functions in worker processes.

    A process is started when it is first needed, and replaced if it died. It ends when this process
    ends, however that ends. Interrupts (SIGINT) reach this process alone.

    Args:
        extra: for each worker, keyword arguments that it adds to every call.
        environment: variables of the workers' environment, besides those of this process.
        imports: name of a module that all workers need. It is imported once for all, where the
            system allows it.

    Raises:
        UserError: the operating system is not POSIX.
    """

    def __init__(
        self,
        extra: Sequence[Mapping[str, object]],
        environment: Mapping[str, str] | None = None,
        imports: str = "",
    ) -> None:
        if os.name != "posix":
            raise UserError("Worker processes need Linux or macOS. Use --jobs 1.")
        self._environment = {**os.environ, **(environment or {})}
        self._imports = imports
        self._calls: queue.SimpleQueue[tuple[Future, bytes] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._processes: set[_Process] = set()
        self._closed = self._killed = False
        self._threads = [
            threading.Thread(target=self._serve, args=(dict(each),), daemon=True) for each in extra
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Queue ``function(*arguments, **extra)`` for the next free worker.

        Function, arguments and result must be picklable. The future raises :class:`WorkerDied` if
        the worker dies, and else what the function raises.

        Raises:
            RuntimeError: the pool is closed.
        """
        future: Future = Future()
        call = pickle.dumps((function, arguments))
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool of workers is closed")
            self._calls.put((future, call))
        return future

    def close(self, grace: float | None = None) -> None:
        """Cancel what is queued, wait for what is running, and end the workers.

        Args:
            grace: seconds after which running work is killed; None waits for its end.
        """
        with self._lock:
            self._closed = True
        with contextlib.suppress(queue.Empty):
            while call := self._calls.get_nowait():
                call[0].cancel()
        for _ in self._threads:
            self._calls.put(None)
        if grace is not None:
            until = time.monotonic() + grace
            for thread in self._threads:
                thread.join(max(0.0, until - time.monotonic()))
            with self._lock:
                self._killed = True
                for process in self._processes:
                    process.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self, extra: Mapping[str, object]) -> None:
        """Pass calls to one worker until the pool is closed."""
        # The worker inherits the mask: an interrupt must not stop it while it starts.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        process: _Process | None = None
        try:
            while call := self._calls.get():
                future, content = call
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    if process is None:
                        process = self._start(extra)
                    future.set_result(process.result(content))
                except WorkerDied as error:
                    self._forget(process)
                    process = None
                    future.set_exception(error)
                except BaseException as error:
                    future.set_exception(error)
        finally:
            self._forget(process)

    def _start(self, extra: Mapping[str, object]) -> _Process:
        with self._lock:
            if self._killed:
                raise WorkerDied(-KILL)
            process = _Process(extra, self._environment, self._imports)
            self._processes.add(process)
        return process

    def _forget(self, process: _Process | None) -> None:
        if process is not None:
            process.close()
            with self._lock:
                self._processes.discard(process)


class _Process:
    """A worker process, used by the thread that started it."""

    def __init__(
        self, extra: Mapping[str, object], environment: Mapping[str, str], imports: str
    ) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = start(work, theirs, environment, imports)
        self._stream = self._socket.makefile("rwb")
        self._extra = extra

    def result(self, call: bytes) -> Any:
        """Return what a call returns.

        Raises:
            WorkerDied: the process ended; and whatever the call raises.
        """
        try:
            _send(self._stream, (call, self._extra))
            self._wait()
            answer = _receive(self._stream)
        except (OSError, EOFError, pickle.UnpicklingError):
            raise WorkerDied(self._end()) from None
        good, value, trace = pickle.loads(answer)
        if good:
            return value
        value.__cause__ = _WorkerTraceback(trace)
        raise value

    def _wait(self) -> None:
        """Wait until the process has answered or ended."""
        while not wait([self._socket], _LOOK_EVERY):
            if self._process.poll() is not None and not wait([self._socket], 0):
                raise EOFError

    def _end(self) -> int:
        """Return the exit code of a process that is about to end; end it if it does not."""
        try:
            return self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def close(self) -> None:
        """Let the process end."""
        with contextlib.suppress(OSError):
            self._stream.close()
        self._socket.close()
        self._process.wait()


class _WorkerTraceback(Exception):
    """The traceback of an error in a worker, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return f"\n{self._text}"


def work(connection: int, parent: int) -> None:
    """Answer calls of the parent process until it closes the connection; runs in the worker.

    Args:
        connection: file number of the socket to the parent.
        parent: process number of the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    end_with_parent(parent)
    faulthandler.enable()  # shows where native code crashed
    os.set_inheritable(connection, False)
    with (
        contextlib.suppress(EOFError, OSError),
        socket.socket(fileno=connection) as end,
        end.makefile("rwb") as stream,
    ):
        while True:
            _send(stream, _answer(*_receive(stream)))


def _answer(call: bytes, extra: Mapping[str, object]) -> bytes:
    try:
        function, arguments = pickle.loads(call)
        return pickle.dumps((True, function(*arguments, **extra), ""))
    except BaseException as error:
        text = traceback.format_exc()
        try:
            answer = pickle.dumps((False, error, text))
            pickle.loads(answer)
            return answer
        except Exception:  # the error cannot be pickled
            stand_in = RuntimeError(f"{type(error).__name__}: {error}")
            return pickle.dumps((False, stand_in, text))


# Calls and answers are pickled separately and sent as bytes: if one cannot be unpickled, only its
# call fails, and the connection can be used for the next one.


def _send(stream: BufferedRWPair, content: object) -> None:
    pickle.dump(content, stream)
    stream.flush()


def _receive(stream: BufferedRWPair) -> Any:
    return pickle.load(stream)
