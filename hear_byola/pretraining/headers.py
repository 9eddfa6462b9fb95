"""Headers of many files, read by threads and remembered between starts."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hear_byola.pretraining.listing import SHARD
from hear_byola.pretraining.shards import (
    COMPRESSED_REASON,
    BadShard,
    is_compressed,
    members,
    open_member,
)
from hear_byola.pretraining.sound import EXTENSIONS, BadSound, read_header

_VERSION = 1  # of what a line of the memory means; others are passed over
_ROUND = 4096  # files between two writes of what was found: what a kill can lose


class Sound(NamedTuple):
    """One sound in a file: ``member`` is its name in a shard, "" in a file of its own.

    ``reason`` says why it cannot be used, as a predicate; "" where it can.
    """

    member: str
    offset: int
    size: int
    frames: int
    rate: int
    reason: str


class Contents(NamedTuple):
    """What a file was found to hold when it had this size (bytes) and modification time (ns)."""

    size: int
    mtime_ns: int
    sounds: tuple[Sound, ...]


def read_headers(
    paths: Sequence[Path],
    *,
    progress: Callable[[int, int], None],
    memory: Path | None,
    workers: int,
) -> list[tuple[Sound, ...]]:
    """The sounds in each file, in order; only what is not remembered, or changed, is opened.

    Args:
        paths: audio files and shards.
        progress: called with files done and files in all.
        memory: a file to remember headers in; None remembers nothing.
        workers: threads.

    Warns:
        UserWarning: the memory cannot be written.
    """
    old = {} if memory is None else _load(memory)
    found: list[tuple[Sound, ...]] = []
    step = max(1, len(paths) // 1000)  # files between two calls of progress
    with ThreadPoolExecutor(workers, thread_name_prefix="headers") as pool:
        for begin in range(0, len(paths), _ROUND):
            some = [os.path.abspath(path) for path in paths[begin : begin + _ROUND]]
            now: list[Contents] = []
            for got in pool.map(_look, some, map(old.get, some)):
                if (begin + len(now)) % step == 0:
                    progress(begin + len(now), len(paths))
                now.append(got)
            new = [(key, got) for key, got in zip(some, now) if got is not old.get(key)]
            if memory is not None and new:
                _append(memory, new)
            found += [got.sounds for got in now]
    progress(len(paths), len(paths))
    return found


def _look(path: str, old: Contents | None) -> Contents:
    try:
        status = os.stat(path)
    except OSError as error:
        return Contents(-1, -1, (Sound("", 0, 0, 0, 0, _unseen(error)),))
    if old is not None and (old.size, old.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return old
    if is_compressed(path):
        sounds: tuple[Sound, ...] = (Sound("", 0, status.st_size, 0, 0, COMPRESSED_REASON),)
    elif path.lower().endswith(SHARD):
        sounds = _in_shard(Path(path), status.st_size)
    else:
        sounds = (Sound("", 0, status.st_size, *_header(Path(path))),)
    return Contents(status.st_size, status.st_mtime_ns, sounds)


def _unseen(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is missing."
    return f"cannot be read ({error.strerror})."


def _header(source: Path | BinaryIO) -> tuple[int, int, str]:
    """Frames, rate, and why it cannot be used."""
    try:
        header = read_header(source)
    except BadSound as error:
        return 0, 0, str(error)
    return header.frames, header.rate, ""


def _in_shard(path: Path, size: int) -> tuple[Sound, ...]:
    sounds = []
    try:
        for name, offset, length in members(path, EXTENSIONS):
            with open_member(path, offset, length) as file:
                frames, rate, reason = _header(file)
            sounds.append(Sound(name, offset, length, frames, rate, reason))
    except BadShard as error:
        sounds.append(Sound("", 0, size, 0, 0, str(error)))
    except OSError as error:
        sounds.append(Sound("", 0, size, 0, 0, _unseen(error)))
    if not sounds:
        sounds.append(Sound("", 0, size, 0, 0, "holds no audio."))
    return tuple(sounds)


def _append(memory: Path, new: list[tuple[str, Contents]]) -> None:
    lines = [
        json.dumps([_VERSION, key, got.size, got.mtime_ns, got.sounds])
        for key, got in new
        if got.size >= 0  # what could not be seen has nothing to be known again by
    ]
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with open(memory, "a", encoding="ascii") as file:
            # The line break before separates from a line that a kill may have left unfinished.
            file.write("\n" + "\n".join(lines) + "\n")
    except OSError as error:
        # Without it the next start is slower, and nothing else.
        warnings.warn(
            f"{memory}, which remembers the headers of audio files, cannot be written "
            f"({error.strerror}). Set XDG_CACHE_HOME to a folder that can.",
            UserWarning,
            stacklevel=2,
        )


def _load(memory: Path) -> dict[str, Contents]:
    """Path -> contents; of several lines on a path the last counts, and damaged ones do not."""
    known: dict[str, Contents] = {}
    try:
        with open(memory, "rb") as file:
            for line in file:
                try:
                    version, key, size, mtime_ns, sounds = json.loads(line)
                    if version == _VERSION:
                        sounds = tuple(Sound(*sound) for sound in sounds)
                        known[key] = Contents(size, mtime_ns, sounds)
                except (ValueError, TypeError):
                    continue
    except OSError:
        pass
    return known
