"""Repeat requests after temporary failures.

urllib3's Retry repeats a request, not a download: it does not notice failures while a body is
read, cannot restart its count with each byte received, and cannot be stopped while it waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.core.errors import UserError
from tasks.fetch.web import Stopped, TemporaryFailure, Web

T = TypeVar("T")

_LOOK_UPS = 3


def retried(
    attempt: Callable[[], T],
    web: Web,
    say: Callable[[str], None],
    *,
    advice: str,
    tries: int | None = None,
    first_contact: bool = True,
    received: Callable[[], int] = lambda: 0,
) -> T:
    """Return the result of ``attempt``, which is repeated while it raises TemporaryFailure.

    Args:
        attempt: called without arguments.
        web: makes the requests; its patience has the number of tries and the waits.
        say: called with a sentence before each wait.
        advice: the end of the error message after the last failure.
        tries: number of failures in a row that raise an error; by default that of the patience.
        first_contact: whether the server has not answered yet. If its name cannot be resolved
            then, three failures are enough: most likely there is no network.
        received: returns the number of bytes received so far; the count of failures restarts when
            it exceeds all earlier values.

    Raises:
        UserError: there were too many failures, or the server asks for too long a wait.
        Stopped: the user stopped the program.
    """
    patience = web.patience
    tries = tries or patience.tries
    failures, furthest = 0, received()
    while True:
        try:
            return attempt()
        except TemporaryFailure as error:
            failure = error
        if (bytes_now := received()) > furthest:
            furthest, failures = bytes_now, 0
        failures += 1
        asked = failure.wait
        if asked is not None and asked > patience.longest_asked:
            raise UserError(
                f"{failure}, and asks for a wait of {asked / 60:.0f} min. Run the same command "
                "then."
            ) from failure
        most = min(tries, _LOOK_UPS) if failure.no_address and first_contact else tries
        if failures >= most:
            times = "once" if failures == 1 else f"{failures} times in a row"
            raise UserError(f"{failure} ({times}). {advice}".rstrip()) from failure
        doubled = min(patience.first_wait * 2 ** (failures - 1), patience.longest_wait)
        wait, why = (doubled, "") if asked is None else (asked, ", as the server asks")
        say(f"{failure}; try {failures + 1} of {most} in {wait:.3g} s{why}")
        if web.stop.wait(wait):
            raise Stopped
