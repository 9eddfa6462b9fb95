"""Keep resampled audio on disk, for several models on the same recordings."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import soxr

from hear_byola.core.wholefile import replacing
from tasks.audio import ContentHashes, read_audio

_COUNTED_EVERY = 64 << 20
"""Bytes that this process adds before it measures the size of the whole cache again."""


class AudioCache:
    """Reads audio as :func:`tasks.audio.read_audio`, and keeps it as float32.

    A file is named by the hash of the recording, the sample rate and the version of the resampler.
    When the cache is full, nothing is added and nothing is deleted. Each model reads all clips in
    the same order, so a cache that dropped its oldest clips would never contain the next one.

    Args:
        folder: of the cache; made if it does not exist.
        limit: most bytes. Each further process can exceed it by 64 MB.
        hashes: the hashes of recordings.
    """

    def __init__(self, folder: Path, limit: float, hashes: ContentHashes) -> None:
        self._folder = folder
        self._limit = limit
        self._hashes = hashes
        self._counted = self._added = -1.0

    def read(self, path: Path, sample_rate: int) -> np.ndarray:
        """Return a clip as float32 (n_samples,) at ``sample_rate`` Hz.

        Raises:
            BadAudio: as :func:`tasks.audio.read_audio`.
        """
        digest = self._hashes.sha256(path)
        version = f"{sample_rate}-soxr{soxr.__version__}-{soxr.__libsoxr_version__}"
        kept = self._folder / version / digest[:2] / f"{digest}.npy"
        with contextlib.suppress(Exception):  # absent, or damaged, which raises all kinds
            found = np.load(kept, allow_pickle=False)
            if isinstance(found, np.ndarray) and (found.ndim, found.dtype) == (1, np.float32):
                return found
        audio = read_audio(path, sample_rate)
        # If the recording changed meanwhile, this audio does not belong to the hash.
        if self._has_room(audio.nbytes) and self._hashes.sha256(path) == digest:
            with (
                contextlib.suppress(OSError),  # of a full disk: the cache is not needed
                replacing(kept, one_writer=False, sync=False) as temporary,
                temporary.open("wb") as file,
            ):
                np.save(file, audio)
        return audio

    def _has_room(self, size: int) -> bool:
        if self._counted < 0 or self._added > _COUNTED_EVERY:
            self._counted, self._added = _size(self._folder), 0
        if self._counted + self._added + size > self._limit:
            return False
        self._added += size
        return True


def _size(folder: Path) -> int:
    """Return the number of bytes of all files of a folder."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):  # renamed by another process
                total += os.stat(os.path.join(place, name)).st_size
    return total
