"""The interface of engines, and what a command wants of an engine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.core.workers import Limit


class Engine(Protocol):
    """The interface of an engine."""

    @property
    def slots(self) -> int:
        """Number of units that run at the same time."""
        ...

    @property
    def window(self) -> int:
        """Number of units to submit at the same time.

        More than ``slots`` keep the workers busy while results are read.
        """
        ...

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        isolate: str = "",
        limit: Limit | None = None,
    ) -> Future:
        """Start ``function(*arguments, device=...)``; the engine chooses the device.

        The future raises :class:`harness.core.calls.WorkerDied` if the worker dies, and
        :class:`harness.core.calls.WorkerStuck` if it was killed at its limit. The engine replaces
        it. :meth:`harness.core.workers.Workers.submit` documents ``isolate`` and ``limit``.
        """
        ...

    def close(self, *, kill: bool = False) -> None:
        """End the workers; ``kill`` stops their running units. A second call does nothing."""
        ...


@dataclass(frozen=True)
class Wanted:
    """The wishes for an engine.

    Attributes:
        out: the run's folder.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        jobs: number of units that run at the same time; None for what the devices allow.
        address: of a running cluster; empty for none.
        say: receives a sentence for the user, in any thread.
    """

    out: Path
    device: str = "auto"
    jobs: int | None = None
    address: str = ""
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class CallLimit:
    """The seconds that a model may take for a call, by the seconds of its audio.

    By default ten minutes, in which it can load, and a minute for each second of audio.
    """

    seconds: float | None = None

    def __call__(self, audio_seconds: float) -> float:
        """Return the seconds for a call with so much audio."""
        return self.seconds or 600.0 + 60.0 * audio_seconds
