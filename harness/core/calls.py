"""A call in another process: its outcome as bytes, and the errors if that process ends.

Calls and outcomes are pickled apart from the messages that contain them: if one cannot be
unpickled, only its call fails, and the connection can be used for the next one.
"""

from __future__ import annotations

import pickle
import traceback
from concurrent.futures import Future
from typing import Any

from harness.core.errors import text_of
from harness.core.processes import KILL, ending
from harness.core.progress import duration


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
    def memory_was_shared(self) -> bool:
        """Whether the cause can be that calls in other workers left it too little memory."""
        return -self.code == KILL

    @property
    def advice(self) -> str:
        """Advice to the user; empty if there is none."""
        return "Is memory short? Try fewer --jobs." if self.memory_was_shared else ""


class WorkerStuck(Exception):
    """A worker process gave no sign of life for longer than its limit, and was killed."""

    def __init__(self, seconds: float, doing: str) -> None:
        at = f" at {doing}" if doing else ""
        super().__init__(f"no progress for {duration(seconds)}{at}; it was stopped")
        self._arguments = seconds, doing

    def __reduce__(self) -> tuple:
        return type(self), self._arguments


def answer(call: bytes, **extra: object) -> bytes:
    """Call a pickled function with its arguments and the extra ones; return the pickled outcome.

    Raises nothing: :func:`returned` raises what the function raised.
    """
    try:
        function, arguments = pickle.loads(call)
        return pickle.dumps((True, function(*arguments, **extra), ""))
    except BaseException as error:  # whatever the function raised is its outcome
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


class _WorkerTraceback(Exception):
    """The traceback of an error in a worker, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return f"\n{self._text}"
