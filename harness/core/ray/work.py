"""The records of a pool of Ray: calls that were submitted, tasks that run, and actors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from harness.core.calls import returned
from harness.core.workers import Limit


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
