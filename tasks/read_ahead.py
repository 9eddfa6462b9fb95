"""Decode and resample clips in threads, ahead of their use."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tasks.audio import read_audio

_AHEAD_BYTES = 512 << 20  # estimated size of the decoded audio that read_ahead keeps in memory
_GROUP = 16  # most clips that a thread of read_ahead takes at once
_EXPANSION = 4  # 16-bit samples become float32, and exist at both rates while resampled


def read_ahead(
    paths: Sequence[Path],
    sample_rate: int,
    *,
    threads: int = 2,
    ahead: int = 64,
    read: Callable[[Path, int], np.ndarray] = read_audio,
) -> Generator[np.ndarray, None, None]:
    """Yield ``read`` of each path, in order; threads decode and resample clips in advance.

    At most ``ahead`` clips are decoded in advance, or about 512 MB of them if they are long, but
    always one. An error is raised when the clip's turn comes. Closing the generator, or an error,
    cancels the clips that have not begun and waits for the threads.
    """
    pending: deque[tuple[Future[list[np.ndarray | Exception]], list[int]]] = deque()
    waiting = deque(paths)
    clips = held = 0  # read in advance, and their bytes
    # A thread takes several clips at once: handing one over costs as much as reading a short clip.
    most = max(1, min(_GROUP, ahead // 4))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")

    def fill() -> None:
        nonlocal clips, held
        while waiting and clips < ahead:
            group: list[Path] = []
            sizes: list[int] = []
            while waiting and clips < ahead and len(group) < most:
                size = _expected_bytes(waiting[0])
                if clips and held + size > _AHEAD_BYTES:
                    break
                group.append(waiting.popleft())
                sizes.append(size)
                clips += 1
                held += size
            if not group:
                return
            pending.append((pool.submit(_read_all, read, group, sample_rate), sizes))

    try:
        fill()
        while pending:
            future, sizes = pending.popleft()
            sounds = deque(future.result())
            del future  # otherwise the clips stay in memory while the consumer works
            for size in sizes:
                sound = sounds.popleft()
                if isinstance(sound, Exception):
                    raise sound
                clips -= 1
                held -= size
                fill()
                yield sound
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_all(
    read: Callable[[Path, int], np.ndarray], paths: Sequence[Path], sample_rate: int
) -> list[np.ndarray | Exception]:
    """Return the sounds of paths; at the first one that fails its error, and nothing after it."""
    sounds: list[np.ndarray | Exception] = []
    for path in paths:
        try:
            sounds.append(read(path, sample_rate))
        except Exception as error:  # raised when the clip's turn comes
            return [*sounds, error]
    return sounds


def _expected_bytes(path: Path) -> int:
    try:
        return os.stat(path).st_size * _EXPANSION
    except OSError:
        return 0  # reading the file raises the error
