"""Keep what a model prints while it works on a unit, in a file beside the unit."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.core.copies import flush
from harness.core.worker import is_worker

_MOST = 1_000_000
"""Bytes that are kept, the last ones."""


@contextlib.contextmanager
def printed_to_file(unit: Path) -> Iterator[None]:
    """Send what this process and its child processes print to a file while the block runs.

    If the block ends without an error, the text is printed to standard error, and the file is
    removed. If it fails or the process dies, the file stays (:func:`printed_by`). In a process
    that is no worker, nothing is redirected.

    Raises:
        OSError: the file cannot be written.
    """
    if not is_worker():
        yield
        return
    path = _file(unit)
    with path.open("wb", buffering=0) as file, contextlib.ExitStack() as after:
        flush()
        for number in (1, 2):
            kept = os.dup(number)
            after.callback(os.close, kept)
            after.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
        after.callback(flush)
        yield
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        shutil.copyfileobj(file, sys.stderr.buffer)
    path.unlink(missing_ok=True)


def printed_by(unit: Path) -> Path | None:
    """Return the file with what was printed by a unit that failed; None if there is nothing."""
    path = _file(unit)
    with contextlib.suppress(OSError):
        size = path.stat().st_size
        if size > _MOST:
            with path.open("rb") as file:
                file.seek(size - _MOST)
                last = file.read()
            path.write_bytes(last)
        if size:
            return path
        path.unlink()
    return None


def _file(unit: Path) -> Path:
    return unit.with_name(f"{unit.name}.log")
