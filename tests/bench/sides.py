"""What a measurement gives: the rows of its table, made by timing two sides in turn.

A bench is a module ``bench_NAME.py`` with a function ``rows(repeats, tiny)`` that yields
:class:`Row`. ``tiny`` asks for the smallest work that still runs all code.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Times:
    """Seconds of one repetition."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: the work.
        against: the other side; empty if there is none.
        cpu, wall: the ratios of the other side's seconds to ours, one a repetition; above 1 ours is
            faster. Empty if there is no other side.
        ours: our cost, in words.
    """

    what: str
    against: str
    cpu: Sequence[float]
    wall: Sequence[float]
    ours: str

    @classmethod
    def of(cls, what: str, against: str, rounds: Sequence[tuple[Times, Times]]) -> Row:
        """Return the row of repetitions, each with our times and the other side's."""
        cpu = [theirs.cpu / ours.cpu for ours, theirs in rounds]
        wall = [theirs.wall / ours.wall for ours, theirs in rounds]
        return cls(what, against, cpu, wall, in_words([ours for ours, _ in rounds]))


def in_words(times: Sequence[Times]) -> str:
    """Return the median of CPU and of wall-clock seconds."""
    cpu, wall = (statistics.median(getattr(t, kind) for t in times) for kind in ("cpu", "wall"))
    return f"{cpu:.3g} CPU s, {wall:.3g} s"


def spread(values: Sequence[float]) -> str:
    """Return the median with the smallest and largest value."""
    if not values:
        return "-"
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def pause(seconds: float) -> None:
    """Wait; for workers that must all be started."""
    time.sleep(seconds)


def timed(work: Callable[[], Any]) -> Times:
    """Return the seconds of this process for a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Times(time.process_time() - cpu, time.perf_counter() - wall)


def alternate(
    what: str,
    against: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    repeats: int,
    timer: Callable[[Callable[[], Any]], Times] = timed,
) -> Row:
    """Time two sides in turn, after a warm-up of both, and return their row."""
    ours()
    theirs()
    return Row.of(what, against, [(timer(ours), timer(theirs)) for _ in range(repeats)])
