"""The error for users' mistakes, and suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_LIKE = 0.5


class UserError(Exception):
    """A mistake in the user's input; the message says what is wrong, where, and what to do.

    The command line prints only the message. A traceback is for faults of the program itself.
    """


def nearest(name: str, choices: Iterable[str], likeness: float = _LIKE) -> str:
    """Return the choice that is most like a name, or an empty string.

    Capitals do not count. Of equally near choices the first is taken.

    Args:
        name: as it was typed.
        choices: what it may have meant.
        likeness: least share of letters in common, from 0 to 1 (`difflib.SequenceMatcher.ratio`).
    """
    matcher = SequenceMatcher(b=name.casefold())
    found, most = "", 0.0
    for choice in choices:
        matcher.set_seq1(choice.casefold())
        if matcher.quick_ratio() > most and (ratio := matcher.ratio()) > most:
            found, most = choice, ratio
    return found if most >= likeness else ""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the choice nearest to a name, or an empty string."""
    found = nearest(name, choices)
    return f" Did you mean '{found}'?" if found else ""
