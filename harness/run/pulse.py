"""Progress texts of units of work, written by the working process and read by displays."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_EVERY = 1.0  # seconds between two writes


@contextlib.contextmanager
def pulse(unit: Path) -> Iterator[Callable[[str], None]]:
    """Yield a function that takes the progress of ``unit`` in words, and can be called often."""
    path = _file(unit)
    last = time.monotonic()

    def tell(text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY:
            last = now
            with contextlib.suppress(OSError):  # the display must not make the unit fail
                path.write_text(text, "utf-8")

    try:
        yield tell
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def pulse_of(unit: Path) -> str:
    """Return the last text on a unit; empty if there is none."""
    try:
        return _file(unit).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _file(unit: Path) -> Path:
    return unit.with_name(f"{unit.name}.progress")
