"""Limit how often a loop reports its progress, and write durations as text."""

from __future__ import annotations

import time


class Pace:
    """Is due once every so many seconds, for the first time that long after its start.

    Args:
        seconds: between two times.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Count the seconds from now on."""
        self._last = time.monotonic()

    def due(self) -> bool:
        """Return whether the seconds have passed; if so, count them from now on."""
        if time.monotonic() - self._last < self._seconds:
            return False
        self.restart()
        return True


def duration(seconds: float) -> str:
    """Return ``1 h 2 min``, ``1 min 1 s`` or ``3 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def rough_duration(seconds: float) -> str:
    """Return a duration with the precision of an estimate: ``89 s``, ``5 min``, ``2 h 5 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
