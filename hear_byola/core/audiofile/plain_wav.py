"""Read the audio format of HEAR's tasks, 16-bit mono WAV, much faster than libsndfile opens it."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

_HEADER = struct.Struct("<4s4x4s4sIHHI4xHH4sI")
_KNOWN = (b"RIFF", b"WAVE", b"fmt ", 16, 1, 1)  # PCM, one channel
_RATES = range(1, 1 << 20)
_LONGEST = 1 << 25  # bytes of sound; libsndfile takes as long for more


class PlainWav(NamedTuple):
    """A 16-bit mono WAV: its rate in Hz, and its samples, float32 (n_samples,) in [-1, 1)."""

    rate: int
    audio: np.ndarray


def read_plain_wav(path: Path) -> PlainWav | None:
    """Read a whole 16-bit mono WAV of at most 32 MiB whose header is its shortest form.

    Returns:
        Its rate and the samples that libsndfile gives; None for all other files, also for those
        that cannot be opened, are empty or truncated: :func:`open_sound` names their fault.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return None
            *kind, rate, width, bits, name, length = _HEADER.unpack(header)
            known = tuple(kind) == _KNOWN and (width, bits, name) == (2, 16, b"data")
            if not known or rate not in _RATES or length % 2 or not 0 < length <= _LONGEST:
                return None
            if os.fstat(file.fileno()).st_size < _HEADER.size + length:
                return None
            content = file.read(length)
    except OSError:
        return None
    if len(content) < length:
        return None
    audio = np.frombuffer(content, "<i2").astype(np.float32)
    audio *= 1 / 32768
    return PlainWav(rate, audio)
