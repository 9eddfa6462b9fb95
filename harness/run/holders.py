"""Describe who holds a claim, without changing anything."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.core.lease import EXPIRES_AFTER, Claim
from harness.run.pulse import pulse_of
from hear_byola.core.owner import has_ended


@dataclass(frozen=True)
class Holder:
    """A process that holds a unit or works on a plan.

    Attributes:
        unit: name of the unit, or the command of the plan.
        host: its machine.
        process: its number on that machine.
        since: when it claimed, in seconds since 1970 by its clock; 0 if unknown.
        heartbeat: seconds since its last sign of life, by the clock of the file system.
        extent: how far it is, in words; empty if this is not known.
        alive: False if it has ended, None if this cannot be known from here.
    """

    unit: str
    host: str
    process: int
    since: float
    heartbeat: float
    extent: str = ""
    alive: bool | None = None

    @property
    def expired(self) -> bool:
        """Whether the claim is taken over by the next process that needs the unit."""
        return self.alive is False or (self.alive is None and self.heartbeat > EXPIRES_AFTER)


def holder_of(claim: Claim, name: str) -> Holder:
    """Return who holds a claim; ``name`` is that of the unit, or the command of the plan."""
    ended = has_ended(claim.owner)
    try:
        heartbeat = max(0.0, claim.age)
    except OSError:  # released in the meantime
        heartbeat = 0.0
    return Holder(
        unit=name,
        host=claim.host,
        process=claim.process,
        since=claim.since,
        heartbeat=heartbeat,
        extent=pulse_of(claim.unit),
        alive=None if ended is None else not ended,
    )


def clock(since: float) -> str:
    """Return a time in words, by the clock of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since)) if since else "unknown"
