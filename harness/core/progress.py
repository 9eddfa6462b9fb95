"""Progress messages of long work: how much is done, how fast, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable

from hear_byola.core.pace import Pace, duration, rough_duration

__all__ = ["Countdown", "Pace", "duration", "rough_duration"]

_LINE_EVERY = 5.0  # seconds


class Countdown:
    """Reports every 5 s how many items are done, how fast, and the time left.

    Args:
        total: number of items.
        say: receives the lines.
        what: noun and verb used in the lines, for example "recordings read".
        tell_end: report the last item too.
    """

    def __init__(
        self, total: int, say: Callable[[str], None], what: str = "clips", tell_end: bool = True
    ) -> None:
        self._total, self._say, self._what, self._tell_end = total, say, what, tell_end
        self._done = 0
        self._began = time.monotonic()
        self._pace = Pace(_LINE_EVERY)

    def advance(self, bad: int = 0) -> None:
        """Count one more item; ``bad`` is the number of unusable items so far."""
        self._done += 1
        ends = self._tell_end and self._done == self._total
        if not (self._pace.due() or ends):
            return
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        left = (self._total - self._done) / rate
        text = f"{self._done} of {self._total} {self._what}, {rate:.0f} a second"
        if bad:
            text += f", {bad} cannot be used"
        self._say(text + (f", {duration(left)} left" if self._done < self._total else ""))
