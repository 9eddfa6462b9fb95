"""Read the headers of many audio files and shards in threads, and remember them between runs.

soundfile.info reads one header; it neither detects truncation nor reads shards, and scanning a
million files again at every start takes hours.
"""

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

from hear_byola.core import jsontext
from hear_byola.core.audiofile import BadFile
from hear_byola.core.filestate import file_state
from hear_byola.pretraining.listing import SHARD
from hear_byola.pretraining.shards import (
    COMPRESSED_REASON,
    is_compressed,
    members,
    open_member,
)
from hear_byola.pretraining.sound import EXTENSIONS, read_header

_VERSION = 3  # version of the lines in the memory; lines of other versions are ignored
_ROUND = 4096  # files submitted to the threads at a time
_KEEP_EVERY = 10.0  # seconds between writes to the memory; a kill loses at most this much work
_LOOK_EVERY = 1.0  # seconds between calls of progress while a large shard is read


class FoundSound(NamedTuple):
    """One sound of a file.

    Attributes:
        member: name in the shard; "" if the sound is a file.
        offset, size: its bytes in the file.
        frames, rate: length in samples of one channel, and sample rate in Hz.
        reason: why it cannot be used, as a predicate; "" if it can.
    """

    member: str
    offset: int
    size: int
    frames: int
    rate: int
    reason: str


class FileContents(NamedTuple):
    """The sounds of a file, and the file's state when they were read.

    ``state`` is the text of a :class:`hear_byola.core.filestate.FileState`; "" if the sounds may
    not be remembered.
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
    """Return the sounds of each file; only new and changed files are opened.

    Headers that were read before an interrupt are remembered.

    Args:
        paths: audio files and shards.
        progress: called with the number of files done, of all files, and of sounds found so far.
        memory: file that remembers headers; None remembers nothing.
        workers: number of threads.

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
    """Reads files in threads.

    Attributes:
        sounds: number of sounds found so far.
        stopped: event that ends the reading of shards.
    """

    def __init__(self, old: dict[str, FileContents]) -> None:
        self.sounds = 0
        self.stopped = threading.Event()
        self._old = old
        self._lock = threading.Lock()

    def look(self, path: str) -> FileContents:
        """Return the contents of a file, from the memory if the file is unchanged."""
        try:
            now = file_state(path)
        except OSError as error:
            return FileContents("", (FoundSound("", 0, 0, 0, 0, _unseen(error)),))
        # A file that has just changed could change again and keep its state: do not remember it.
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
    """Yield a pool whose threads end at once if an interrupt leaves the block."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="headers")
    try:
        yield pool
    finally:
        reader.stopped.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _kept(memory: Path | None) -> Iterator[Callable[[str, FileContents], None]]:
    """Yield a function that keeps contents; they are written every few seconds and at the end."""
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
    """Return frames, rate, and the reason for refusing the sound."""
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
            # The first line break ends a line that a killed process left unfinished.
            file.write("\n" + "\n".join(lines) + "\n")
    except OSError as error:
        warnings.warn(
            f"{memory} cannot be written ({error.strerror}), so the next start reads all headers "
            "again. Set HEAR_BYOLA_CACHE to a writable folder.",
            UserWarning,
            stacklevel=2,
        )


def _kept_sound(values: Sequence[object]) -> FoundSound:
    """Return the sound of a line in the memory.

    Raises:
        ValueError, TypeError: the line is damaged.
    """
    sound = FoundSound(*values)  # type: ignore[arg-type]
    if tuple(map(type, sound)) != (str, int, int, int, int, str) or min(sound[1:5]) < 0:
        raise ValueError("a field has another type")
    if max(sound[1:4]) >= 2**63 or sound.rate >= 2**31:
        raise ValueError("a number is larger than a corpus holds")
    os.fsencode(sound.member)  # a ValueError if it is no name of a file
    if not sound.reason and not (sound.frames and sound.rate):
        raise ValueError("a sound has no length")
    return sound


def _load(memory: Path) -> dict[str, FileContents]:
    """Return contents by path: the last line of each path counts; damaged lines are ignored."""
    known: dict[str, FileContents] = {}
    try:
        with open(memory, "rb") as file:
            for line in file:
                try:
                    version, key, state, sounds = jsontext.load(line)
                    if version == _VERSION:
                        sounds = tuple(map(_kept_sound, sounds))
                        if not sounds:  # a file without sound is kept with its reason
                            continue
                        known[key] = FileContents(state, sounds)
                except (ValueError, TypeError):
                    continue
    except OSError:
        pass
    return known
