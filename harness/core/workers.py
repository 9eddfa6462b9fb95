"""A pool of worker processes that reports how a worker died and loses only that worker's call.

``concurrent.futures.ProcessPoolExecutor`` drops all its work when one worker dies, does not report
the exit code, and offers no way to stop running work. ``multiprocessing`` imports the user's script
again in every worker. The workers of this pool import only what their functions need
(:mod:`harness.core.forkserver`).
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
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
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from harness.core.errors import UserError, text_of
from harness.core.forkserver import start
from harness.core.processes import KILL, end_with_parent, ending, give_up_first
from harness.core.progress import duration

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
        doing: what it did then, as it told by :func:`sign_of_life`; empty if it did not.
    """

    def __init__(self, code: int, doing: str = "") -> None:
        super().__init__(ending(code) + (f" at {doing}" if doing else ""))
        self.code = code
        self.doing = doing

    def __reduce__(self) -> tuple:
        return type(self), (self.code, self.doing)

    @property
    def advice(self) -> str:
        """Advice to the user, in one sentence."""
        if -self.code == KILL:
            return "Is memory short? Try fewer --jobs."
        return "See what it printed."


class WorkerStuck(Exception):
    """A worker process gave no sign of life for longer than its limit, and was killed."""

    def __init__(self, seconds: float, doing: str) -> None:
        at = f" at {doing}" if doing else ""
        super().__init__(f"no progress for {duration(seconds)}{at}; it was stopped")
        self._arguments = seconds, doing

    def __reduce__(self) -> tuple:
        return type(self), self._arguments


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
                except BaseException as error:
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
                if not isinstance(answer, _Sign):
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


@dataclass(frozen=True)
class _Sign:
    """A sign of life of a worker: what it does now, and the amount of work until the next one."""

    doing: str
    work: float


def sign_of_life(doing: str, work: float) -> None:
    """Tell the pool what this worker does now; for functions that workers run.

    Does nothing in a process that is no worker.

    Args:
        doing: a phrase, for the message if the worker dies or takes too long.
        work: amount of work until the next sign of life (:data:`Limit`).
    """
    if _to_parent is not None and threading.current_thread() is threading.main_thread():
        _to_parent.send_bytes(pickle.dumps(_Sign(doing, work)))


def answer(call: bytes, **extra: object) -> bytes:
    """Call a pickled function with its arguments and the extra ones; return the pickled outcome.

    Raises nothing: :func:`returned` raises what the function raised.
    """
    try:
        function, arguments = pickle.loads(call)
        return pickle.dumps((True, function(*arguments, **extra), ""))
    except BaseException as error:
        return _failed(error)


def outcome_of(future: Future) -> bytes:
    """Wait for a call of :func:`answer` in a pool, and return its outcome.

    The death of its worker is an outcome, too.
    """
    try:
        return future.result()
    except (WorkerDied, WorkerStuck) as error:
        return _failed(error)


def returned(outcome: bytes) -> Any:
    """Return what a call returned, or raise what it raised; of the outcome of :func:`answer`."""
    good, value, trace = pickle.loads(outcome)
    if good:
        return value
    value.__cause__ = _WorkerTraceback(trace)
    raise value


def _failed(error: BaseException) -> bytes:
    text = _traceback_of(error)
    try:
        outcome = pickle.dumps((False, error, text))
        pickle.loads(outcome)
        return outcome
    except Exception:  # the error cannot be pickled
        return pickle.dumps((False, RuntimeError(text_of(error)), text))


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # a foreign exception without a text
        return text_of(error)


# Calls and answers are pickled separately and sent as bytes: if one cannot be unpickled, only its
# call fails, and the connection can be used for the next one.
