"""The error for users' mistakes, and suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_LEAST_LIKENESS = 0.5


class UserError(Exception):
    """A mistake in the user's input; the message says what is wrong, where, and what to do.

    The command line prints only the message. A traceback is for faults of the program itself.
    """


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the choice nearest to a name, or an empty string.

    Of equally near choices the first is taken.
    """
    matcher = SequenceMatcher(b=name.casefold())
    nearest, likeness = "", 0.0
    for choice in choices:
        matcher.set_seq1(choice.casefold())
        if matcher.quick_ratio() > likeness and (ratio := matcher.ratio()) > likeness:
            nearest, likeness = choice, ratio
    return f" Did you mean '{nearest}'?" if likeness >= _LEAST_LIKENESS else ""
