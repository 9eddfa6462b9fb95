"""What is wrong with a table, gathered so that all of it can be mended at once."""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import UserError

_SHOWN = 20
_LINES_SHOWN = 3


class Faults:
    """The faults of one file, each with the line that it is on (0: of the whole file)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, reason: str) -> None:
        """Keep a fault; the reason is a sentence that says what to do where that is not plain."""
        self._found.append((line, reason))

    def refuse(self) -> None:
        """Raise UserError when there is any fault, naming the first 20 by line, the same once."""
        if not self._found:
            return
        lines: dict[str, list[int]] = {}
        for line, reason in sorted(self._found):
            lines.setdefault(reason, []).append(line)
        told = [
            f"{places(where)}: {reason}" if all(where) else reason
            for reason, where in lines.items()
        ]
        shown = told[:_SHOWN]
        if len(told) > _SHOWN:
            shown.append(f"and {len(told) - _SHOWN} more")
        raise UserError("\n  ".join([f"{self._path} cannot be used:", *shown]))


def places(lines: list[int]) -> str:
    """Return lines for people: ``line 3`` or ``9 lines (1, 2, 4, ...)``."""
    shown = ", ".join(map(str, lines[:_LINES_SHOWN]))
    if len(lines) > _LINES_SHOWN:
        return f"{len(lines)} lines ({shown}, ...)"
    return f"line{'s' * (len(lines) > 1)} {shown}"
