"""Collect the faults of a table, so that one error lists all of them."""

from __future__ import annotations

from pathlib import Path

from harness.core.counts import abridged, first_of
from harness.core.errors import UserError

_SHOWN = 20
_LINES_SHOWN = 3


class Faults:
    """The faults of one file, each with its line (0 for the whole file)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, reason: str) -> None:
        """Add a fault; the reason is a sentence, with advice if the cure is not obvious."""
        self._found.append((line, reason))

    def refuse(self) -> None:
        """Raise UserError if there is any fault; the message lists the first 20 reasons by line."""
        if not self._found:
            return
        lines: dict[str, list[int]] = {}
        for line, reason in sorted(self._found):
            lines.setdefault(reason, []).append(line)
        told = [
            f"{places(where)}: {reason}" if all(where) else reason
            for reason, where in lines.items()
        ]
        first = f"{self._path} cannot be used:"
        raise UserError("\n  ".join([first, *first_of(told, _SHOWN)]))


def places(lines: list[int]) -> str:
    """Return line numbers as text: ``line 3`` or ``9 lines (1, 2, 4, ...)``."""
    shown = abridged(list(map(str, lines)), _LINES_SHOWN)
    if len(lines) > _LINES_SHOWN:
        return f"{len(lines)} lines ({shown})"
    return f"line{'s' * (len(lines) > 1)} {shown}"
