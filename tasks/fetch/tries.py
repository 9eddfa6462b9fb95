"""How often a failure may come again, and how long to wait after each."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.errors import UserError
from tasks.fetch.web import Passing, Web

_LOOK_UPS = 3


class Tries:
    """Counts failures in a row, and waits after each."""

    def __init__(
        self,
        web: Web,
        say: Callable[[str], None],
        *,
        cure: str,
        reached: int = 0,
        most: int | None = None,
        first: bool = False,
    ) -> None:
        """Begin to count.

        Args:
            web: what fails.
            say: called with a sentence before each wait.
            cure: the end of the error that there were enough failures.
            reached: bytes that were there before.
            most: failures in a row that are enough; by default what the patience says.
            first: whether nothing has been had of the server yet. That its name has no address
                then means that there is no network, more likely than that it will pass.
        """
        self._web = web
        self._cure = cure
        self._most = most or web.patience.tries
        self._say = say
        self._reached = reached
        self._failures = 0
        self._look_ups = _LOOK_UPS if first else self._most

    def failed(self, failure: Passing, reached: int = 0) -> None:
        """Wait before another try; the count starts anew when ``reached`` is further than ever.

        Raises:
            UserError: there were enough failures, or the server asks for too long a wait.
        """
        patience = self._web.patience
        if reached > self._reached:
            self._reached, self._failures = reached, 0
        self._failures += 1
        if failure.wait is not None and failure.wait > patience.longest_asked:
            minutes = failure.wait / 60
            raise UserError(
                f"{failure}, and asks to come back in {minutes:.0f} min. Run the same command then."
            )
        most = min(self._most, self._look_ups) if failure.nowhere else self._most
        if self._failures >= most:
            times = "once" if self._failures == 1 else f"{self._failures} times in a row"
            raise UserError(f"{failure} ({times}){self._cure}.")
        doubled = patience.first_wait * 2 ** (self._failures - 1)
        wait = min(doubled, patience.longest_wait) if failure.wait is None else failure.wait
        asked = "" if failure.wait is None else ", as it asks"
        self._say(f"{failure}; try {self._failures + 1} of {most} in {wait:.3g} s{asked}")
        self._web.pause(wait)
