"""Headers of many files, read by threads and remembered between starts."""

from __future__ import annotations

import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hear_byola.audiofile import BadFile
from hear_byola.filestate import file_state
from hear_byola.pretraining.listing import SHARD
from hear_byola.pretraining.shards import (
    COMPRESSED_REASON,
    is_compressed,
    members,
    open_member,
)
from hear_byola.pretraining.sound import EXTENSIONS, read_header

_VERSION = 2  # of what a line of the memory means; others are passed over
_ROUND = 4096  # files that wait for a thread at a time
_KEEP_EVERY = 10.0  # seconds between two writes of what was found: what a kill can lose
_LOOK_EVERY = 1.0  # seconds between two calls of progress while a large shard is read


class FoundSound(NamedTuple):
    """One sound in a file: ``member`` is its name in a shard, "" in a file of its own.

    ``reason`` says why it cannot be used, as a predicate; "" where it can.
    """

    member: str
    offset: int
    size: int
    frames: int
    rate: int
    reason: str


class FileContents(NamedTuple):
    """What a file was found to hold.

    ``state`` is its size, modification time, change time (both in ns) and inode at that time; ""
    where it may not be remembered.
    """

    state: str
    sounds: tuple[FoundSound, ...]


def read_headers(
    paths: Sequence[Path],
    *,
    progress: Callable[[int, int, int], None],
    memory: Path | None,
    workers: int,
) -> list[tuple[FoundSound, ...]]:
    """The sounds in each file, in order; only what is not remembered, or changed, is opened.

    However it ends, what was found in whole files is remembered.

    Args:
        paths: audio files and shards.
        progress: called with files done, files in all, and sounds found, those within shards that
            are being read included.
        memory: a file to remember headers in; None remembers nothing.
        workers: threads.

    Warns:
        UserWarning: the memory cannot be written.
    """
    old = {} if memory is None else _load(memory)
    found: list[tuple[FoundSound, ...]] = []
    reader = _Reader(old)
    with _kept(memory) as keep, _threads(workers, reader) as pool:
        for begin in range(0, len(paths), _ROUND):
            keys = [os.path.abspath(path) for path in paths[begin : begin + _ROUND]]
            looks = [pool.submit(reader.look, key) for key in keys]
            for key, look in zip(keys, looks):
                while not look.done():
                    wait([look], _LOOK_EVERY)
                    progress(len(found), len(paths), reader.sounds)
                got = look.result()
                if got is not old.get(key):
                    keep(key, got)
                found.append(got.sounds)
                progress(len(found), len(paths), reader.sounds)
    return found


class _Reader:
    """Looks into files, in threads.

    Attributes:
        sounds: how many were found so far.
        stopped: set to end the reading of shards.
    """

    def __init__(self, old: dict[str, FileContents]) -> None:
        self.sounds = 0
        self.stopped = threading.Event()
        self._old = old
        self._lock = threading.Lock()

    def look(self, path: str) -> FileContents:
        """What a file holds; from memory, where it is as it was."""
        try:
            now = file_state(path)
        except OSError as error:
            return FileContents("", (FoundSound("", 0, 0, 0, 0, _unseen(error)),))
        # A file that was changed just now could change again without a trace: it is not remembered.
        state = " ".join(map(str, now)) if now.settled() else ""
        old = self._old.get(path)
        if state and old is not None and old.state == state:
            self._count(len(old.sounds))
            return old
        if not is_compressed(path) and path.lower().endswith(SHARD):
            sounds = self._in_shard(Path(path), now.size)
        else:
            whole = (0, 0, COMPRESSED_REASON) if is_compressed(path) else _header(Path(path))
            sounds = (FoundSound("", 0, now.size, *whole),)
            self._count(1)
        return FileContents(state, sounds)

    def _in_shard(self, path: Path, size: int) -> tuple[FoundSound, ...]:
        sounds = []
        try:
            for name, offset, length in members(path, EXTENSIONS):
                if self.stopped.is_set():
                    break
                with open_member(path, offset, length) as file:
                    frames, rate, reason = _header(file)
                sounds.append(FoundSound(name, offset, length, frames, rate, reason))
                self._count(1)
        except BadFile as error:
            sounds.append(FoundSound("", 0, size, 0, 0, str(error)))
        except OSError as error:
            sounds.append(FoundSound("", 0, size, 0, 0, _unseen(error)))
        if not sounds:
            sounds.append(FoundSound("", 0, size, 0, 0, "holds no audio."))
        return tuple(sounds)

    def _count(self, more: int) -> None:
        with self._lock:
            self.sounds += more


@contextmanager
def _threads(workers: int, reader: _Reader) -> Iterator[ThreadPoolExecutor]:
    """Threads that end at once where the block is left by an interrupt."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="headers")
    try:
        yield pool
    finally:
        reader.stopped.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _kept(memory: Path | None) -> Iterator[Callable[[str, FileContents], None]]:
    """Takes what was found, and writes it now and then and at the end."""
    new: list[tuple[str, FileContents]] = []
    last = time.monotonic()

    def keep(key: str, got: FileContents) -> None:
        nonlocal last
        new.append((key, got))
        if time.monotonic() - last >= _KEEP_EVERY:
            write()
            last = time.monotonic()

    def write() -> None:
        if memory is not None and new:
            _append(memory, new)
        new.clear()

    try:
        yield keep
    finally:
        write()


def _unseen(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is missing."
    return f"cannot be read ({error.strerror})."


def _header(source: Path | BinaryIO) -> tuple[int, int, str]:
    """Frames, rate, and why it cannot be used."""
    try:
        header = read_header(source)
    except BadFile as error:
        return 0, 0, str(error)
    return header.frames, header.rate, ""


def _append(memory: Path, new: list[tuple[str, FileContents]]) -> None:
    lines = [json.dumps([_VERSION, key, got.state, got.sounds]) for key, got in new if got.state]
    if not lines:
        return
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


def _load(memory: Path) -> dict[str, FileContents]:
    """Path -> contents; of several lines on a path the last counts, and damaged ones do not."""
    known: dict[str, FileContents] = {}
    try:
        with open(memory, "rb") as file:
            for line in file:
                try:
                    version, key, state, sounds = json.loads(line)
                    if version == _VERSION:
                        sounds = tuple(FoundSound(*sound) for sound in sounds)
                        known[key] = FileContents(state, sounds)
                except (ValueError, TypeError):
                    continue
    except OSError:
        pass
    return known
