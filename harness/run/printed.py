"""Keep what a model prints while it works on a unit, in a file beside the unit."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from harness.core.copies import flush
from harness.core.worker import is_worker

_MOST = 1_000_000
"""Bytes that are kept, the last ones."""

_LOOK_EVERY = 1.0
"""Seconds between two looks at the size of the file, which fills the disk if a model prints in a
loop."""


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
    path.unlink(missing_ok=True)
    with path.open("ab", buffering=0) as file, _bounded(path), contextlib.ExitStack() as after:
        flush()
        for number in (1, 2):
            kept = os.dup(number)
            after.callback(os.close, kept)
            after.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
        after.callback(flush)
        yield
    with contextlib.suppress(FileNotFoundError):
        _keep_last(path)
        text = path.read_bytes()
        sys.stderr.buffer.write(text if text.endswith(b"\n") or not text else text + b"\n")
    path.unlink(missing_ok=True)


def printed_by(unit: Path) -> Path | None:
    """Return the file with what was printed by a unit that failed; None if there is nothing."""
    path = _file(unit)
    with contextlib.suppress(OSError):
        _keep_last(path)
        if path.stat().st_size:
            return path
        path.unlink()
    return None


@contextlib.contextmanager
def _bounded(path: Path) -> Iterator[None]:
    """Keep a file short while the block runs."""
    ended = threading.Event()
    # The block can change the working directory for a moment, so the watch gets the whole path.
    watch = threading.Thread(target=_watch, args=(path.absolute(), ended), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def _watch(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_LOOK_EVERY):
        with contextlib.suppress(OSError):
            _keep_last(path)


def _keep_last(path: Path) -> None:
    """Cut a file, to which processes may append, to its last bytes.

    What is appended while it is cut is lost.
    """
    if path.stat().st_size <= _MOST:
        return
    with open(path, "a+b", opener=_open_existing) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST))
        last = file.read(_MOST)
        file.truncate(0)
        file.write(last)


def _open_existing(path: str, flags: int) -> int:
    """Open a file, and do not make one in the place of a file that was removed meanwhile."""
    return os.open(path, flags & ~os.O_CREAT)


def _file(unit: Path) -> Path:
    return unit.with_name(f"{unit.name}.log")
