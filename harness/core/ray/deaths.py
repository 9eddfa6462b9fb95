"""The ends of workers and nodes of a Ray cluster, as errors of our own pools of workers."""

from __future__ import annotations

from harness.core.calls import WorkerDied
from harness.core.errors import UserError, text_of


class WorkerLost(WorkerDied):
    """A worker process of Ray ended. Ray does not report its exit code."""

    def __init__(self, why: str) -> None:
        Exception.__init__(self, f"was lost ({why})")

    @property
    def memory_was_shared(self) -> bool:
        """False: to empty a whole cluster would cost more than a second death on another node."""
        return False

    @property
    def advice(self) -> str:
        """Advice to the user, in one sentence."""
        return "Is memory short? Try fewer --jobs, or read Ray's logs on that node."


def node_has_gone(error: BaseException) -> bool:
    """Return whether Ray raised an error because a node ended, which is no fault of the call."""
    from ray.exceptions import (
        ActorUnavailableError,
        LocalRayletDiedError,
        NodeDiedError,
        RayActorError,
    )

    if isinstance(error, (NodeDiedError, LocalRayletDiedError, ActorUnavailableError)):
        return True
    # The error of an actor has the cause in its text alone.
    return isinstance(error, RayActorError) and "its node has died" in str(error)


def as_ours(error: BaseException) -> Exception:
    """Return an error of Ray as that of a worker that died, or of a node that is at fault."""
    from ray.exceptions import RayTaskError

    if isinstance(error, RayTaskError):  # raised before the call began
        return UserError(f"A node of the Ray cluster cannot be used: {text_of(error.cause)}")
    return WorkerLost(text_of(error).splitlines()[0])
