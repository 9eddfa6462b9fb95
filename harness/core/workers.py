"""A pool of worker processes that reports how a worker died and loses only that worker's call.

``concurrent.futures.ProcessPoolExecutor`` drops all its work when one worker dies, does not report
the exit code, and offers no way to stop running work. ``multiprocessing`` imports the user's script
again in every worker. The workers of this pool import only what their functions need
(:mod:`harness.core.forkserver`).
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from harness.core.calls import WorkerDied, WorkerStuck, returned
from harness.core.errors import UserError
from harness.core.forkserver import start
from harness.core.processes import KILL
from harness.core.worker import Sign, work

_LOOK_EVERY = 1.0
"""Seconds between two checks whether a silent worker still runs. Its child processes can keep the
connection open after its death."""

_PATIENCE = 5.0
"""Seconds that a worker gets to end after it has closed its connection."""


Limit = Callable[[float], float]
"""Returns the seconds until the next sign of life, of the amount of work until then (seconds of
audio). It runs in the pool's process."""


@dataclass(frozen=True)
class _Call:
    """A function and its arguments, pickled, and how they run; see :meth:`Workers.submit`."""

    future: Future
    content: bytes
    isolate: str
    limit: Limit | None


class Workers:
    """Runs functions in worker processes.

    A process is started when it is first needed, and replaced if it died. It ends when this process
    ends, however that ends, and the processes that it has started are killed with it. Interrupts
    (SIGINT) reach this process alone.

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
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._processes: set[_Process] = set()
        self._closed = self._killed = False
        self._threads = [
            threading.Thread(target=self._serve, args=(dict(each),), daemon=True) for each in extra
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        isolate: str = "",
        limit: Limit | None = None,
    ) -> Future:
        """Queue ``function(*arguments, **extra)`` for the next free worker.

        Function, arguments and result must be picklable. The future raises :class:`WorkerDied` if
        the worker dies, :class:`WorkerStuck` if it was killed at its limit, and else what the
        function raises.

        Args:
            function: of a module that workers can import.
            arguments: of the function.
            isolate: for calls of foreign code, which may change the state of its process: its
                name. Such a call runs in a process that only calls with this name have used.
            limit: the longest time between two calls of :func:`sign_of_life`; the amount of work
                until the first one is 0. None for no limit.

        Raises:
            RuntimeError: the pool is closed.
        """
        future: Future = Future()
        call = pickle.dumps((function, arguments))
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool of workers is closed")
            self._calls.put(_Call(future, call, isolate, limit))
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
                call.future.cancel()
        for _ in self._threads:
            self._calls.put(None)
        if grace is not None:
            until = time.monotonic() + grace
            for thread in self._threads:
                _join(thread, until)
            with self._lock:
                self._killed = True
                for process in self._processes:
                    process.kill()
        # An interrupt within `concurrent.futures.wait` can leave a future locked. The thread that
        # holds its result then waits for ever, though its worker has ended.
        until = math.inf if grace is None else time.monotonic() + _PATIENCE
        for thread in self._threads:
            _join(thread, until)

    def _serve(self, extra: Mapping[str, object]) -> None:
        """Pass calls to one worker until the pool is closed."""
        # The worker inherits the mask: an interrupt must not stop it while it starts.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        # One process for our own code, and one for the foreign code that was called last.
        kept: dict[bool, tuple[str, _Process]] = {}
        try:
            while call := self._calls.get():
                if not call.future.set_running_or_notify_cancel():
                    continue
                foreign = bool(call.isolate)
                try:
                    if foreign in kept and kept[foreign][0] != call.isolate:
                        self._forget(kept.pop(foreign)[1])
                    if foreign not in kept:
                        kept[foreign] = (call.isolate, self._start(extra))
                    call.future.set_result(kept[foreign][1].result(call))
                except (WorkerDied, WorkerStuck) as error:
                    if foreign in kept:
                        self._forget(kept.pop(foreign)[1])
                    call.future.set_exception(error)
                except BaseException as error:  # whatever the call raised; its future passes it on
                    call.future.set_exception(error)
        finally:
            for _, process in kept.values():
                self._forget(process)

    def _start(self, extra: Mapping[str, object]) -> _Process:
        with self._lock:
            if self._killed:
                raise WorkerDied(-KILL)
            process = _Process(extra, self._environment, self._imports)
            self._processes.add(process)
        return process

    def _forget(self, process: _Process) -> None:
        process.close()
        with self._lock:
            self._processes.discard(process)


def _join(thread: threading.Thread, until: float) -> None:
    """Wait for the end of a thread, until a time or for ever (inf)."""
    thread.join(None if until == math.inf else max(0.0, until - time.monotonic()))


class _Process:
    """A worker process, used by the thread that started it."""

    def __init__(
        self, extra: Mapping[str, object], environment: Mapping[str, str], imports: str
    ) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = start(work, theirs, environment, imports)
            self._connection = Connection(ours.detach())
        self._extra = extra

    def result(self, call: _Call) -> Any:
        """Return what a call returns.

        Raises:
            WorkerDied: the process ended.
            WorkerStuck: it was killed at its limit. Whatever the call raises is raised too.
        """
        doing, until = "", math.inf
        if call.limit:
            allowed = call.limit(0.0)
            until = time.monotonic() + allowed
        try:
            self._connection.send_bytes(pickle.dumps((call.content, self._extra)))
            while True:
                self._wait(until)
                answer = pickle.loads(self._connection.recv_bytes())
                if not isinstance(answer, Sign):
                    break
                doing = answer.doing
                if call.limit:
                    allowed = call.limit(answer.work)
                    until = time.monotonic() + allowed
        except TimeoutError:
            self.kill()
            raise WorkerStuck(allowed, doing) from None
        except (OSError, EOFError, pickle.UnpicklingError):
            raise WorkerDied(self._end(), doing) from None
        return returned(answer)

    def _wait(self, until: float) -> None:
        """Wait until the process has sent something or ended.

        Raises:
            EOFError: it has ended. Processes that it has started can keep the connection open.
            TimeoutError: it has sent nothing until a time.
        """
        while not self._connection.poll(max(0.0, min(_LOOK_EVERY, until - time.monotonic()))):
            if self._process.poll() is not None and not self._connection.poll():
                raise EOFError
            if time.monotonic() > until:
                raise TimeoutError

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
        """Let the process end; end it if it does not."""
        self._connection.close()
        self._end()
