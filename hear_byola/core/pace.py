"""Limit how often something is done in a loop, for example a line about progress."""

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
