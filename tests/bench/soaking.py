"""What ``soak.py`` asks of its parts, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """What the command line asks of a part.

    Attributes:
        seconds: that the part may take.
        kills: number of kills at least, if the time allows.
        inputs: number of hostile inputs for each reader, whatever time they take; None: as many as
            the time allows.
        seed: of all that is drawn.
    """

    seconds: float
    kills: int
    inputs: int | None
    seed: int


@dataclass(frozen=True)
class Seen:
    """What a part has seen.

    Attributes:
        lines: of markdown, for its section.
        faults: number of promises that were broken.
    """

    lines: Sequence[str]
    faults: int


class LeftOut(Exception):
    """This machine lacks what a part needs; the message names it."""
