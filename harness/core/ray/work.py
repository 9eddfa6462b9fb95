"""The records of a pool of Ray: calls that were submitted, tasks that run, actors, and starts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from harness.core.calls import returned
from harness.core.ray.cluster import Cluster
from harness.core.workers import Limit

Say = Callable[[str], None]

_SAY_AFTER = 30.0
"""After so many seconds without the start of a task, the user is told that the cluster is busy."""


@dataclass(eq=False)
class Submitted:
    """A call that was submitted; ``model`` is its name for isolation, empty for a plain call."""

    future: Future
    content: bytes
    model: str
    limit: Limit | None
    losses: int = 0


@dataclass(eq=False)
class ModelActor:
    """An actor that calls one model.

    Attributes:
        handle: Ray's handle of the actor, a :class:`harness.core.ray.remote.ModelCaller`.
        model: the model that it has called last.
        started: whether it has got its device.
        task: its calls; None if it is idle.
        since: when it became idle, or was asked for.
    """

    handle: Any
    model: str
    started: bool = False
    task: RayTask | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class RayTask:
    """Calls that run in Ray as one; on an actor, or as a plain task."""

    calls: Sequence[Submitted]
    reference: Any
    actor: ModelActor | None = None
    outcome: Future = field(default_factory=Future)

    def deliver(self) -> float:
        """Pass the outcomes of the calls to their futures; return the seconds that they took."""
        outcomes, seconds = self.outcome.result()
        for call, outcome in zip(self.calls, outcomes, strict=True):
            try:
                call.future.set_result(returned(outcome))
            except BaseException as error:  # whatever the call raised; its future raises it again
                call.future.set_exception(error)
        return seconds


def contents(calls: Sequence[Submitted]) -> list[bytes]:
    """Return the pickled calls."""
    return [call.content for call in calls]


class Starts:
    """Tells the user if tasks cannot start, because other programs use the cluster.

    Args:
        cluster: the cluster.
        say: receives the sentence.
    """

    def __init__(self, cluster: Cluster, say: Say) -> None:
        self._cluster = cluster
        self._say = say
        self._seen = 0
        self._expected = (math.inf, 0)  # since when a start is expected, and the last one before

    def look(self) -> None:
        """Look at the last start, before further tasks are submitted."""
        self._seen = self._cluster.last_start()

    def expect_another(self) -> None:
        """Expect the start of a task that was submitted."""
        self._expected = (time.monotonic(), self._seen)

    def report_delay(self, *, waiting: bool) -> None:
        """Tell the user, once, if no task has started since the newest was submitted.

        Args:
            waiting: whether there are tasks that have not ended.
        """
        since, before = self._expected
        if not waiting or time.monotonic() < since + _SAY_AFTER:
            return
        self._expected = (math.inf, before)
        if self._cluster.last_start() == before:
            self._say(
                f"waiting for the Ray cluster: nothing could start for {_SAY_AFTER:.0f} s. It has "
                f"{self._cluster.capacity()}; {self._cluster.free()} are free."
            )
