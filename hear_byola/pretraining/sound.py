"""Read the header of a sound, or a stretch of it at 16 kHz without decoding the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from hear_byola.core.audiofile import (
    BadFile,
    check_end,
    open_sound,
    read_frames,
    reopen_sound,
)
from hear_byola.frontend import SAMPLE_RATE

EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"})
"""Extensions of audio files in folders and tar files, in lower case."""

# Output samples that are resampled beyond both ends of a stretch. With 128 or more, stretches equal
# those of the whole file up to float32 rounding, at all rates tried (16,001 to 192,000 Hz).
_MARGIN = 256


@dataclass(frozen=True)
class SoundHeader:
    """Length in frames (samples of one channel) and sample rate in Hz, as in the file."""

    frames: int
    rate: int

    def __post_init__(self) -> None:
        if self.frames == 0:
            raise BadFile("is empty: it contains no sample.")
        if self.rate < SAMPLE_RATE:
            raise BadFile(
                f"has a sample rate of {self.rate} Hz; it must be at least {SAMPLE_RATE} Hz, "
                "because its upper bands would be empty."
            )


def samples_at_16k(frames: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return lengths after resampling, in whole samples: int64, rounded down, at least 1."""
    return np.maximum(frames.astype(np.int64) * SAMPLE_RATE // rate, 1)


def read_header(source: Path | BinaryIO) -> SoundHeader:
    """Read the header of a sound, and check that the sound is complete.

    Args:
        source: a path, or a seekable binary file at its start.

    Raises:
        BadFile: the sound is unreadable, empty, truncated, of unknown length, or below 16 kHz.
    """
    with _opened(open_sound, source) as sound:
        header = SoundHeader(sound.frames, sound.samplerate)
        check_end(sound)
        return header


def read_stretch(source: Path | BinaryIO, start: int, count: int) -> np.ndarray:
    """Return a stretch of the mono sound at 16 kHz: float32 (count,), in [-1, 1].

    It equals the same stretch of the whole file, resampled by soxr (its "HQ" quality), up to
    rounding. Channels are averaged, then samples are clipped. Only the stretch and a short margin
    on both sides are decoded.

    Args:
        source: a path, or a seekable binary file at its start.
        start, count: samples at 16 kHz, inside the sound.

    Raises:
        BadFile: the sound cannot be decoded there, is truncated, or has NaN or infinite samples.
    """
    with _opened(reopen_sound, source) as sound:
        audio = _resampled(sound, start, count)
    if not np.isfinite(audio).all():
        raise BadFile("contains samples that are NaN or infinite.")
    return np.clip(audio, -1.0, 1.0, out=audio)


@contextmanager
def _opened(
    opener: Callable[[Path | BinaryIO], soundfile.SoundFile], source: Path | BinaryIO
) -> Iterator[soundfile.SoundFile]:
    try:
        with opener(source) as sound:
            yield sound
    except OSError as error:
        raise BadFile(f"cannot be read ({error.strerror or error}).") from error


def _resampled(file: soundfile.SoundFile, start: int, count: int) -> np.ndarray:
    rate = file.samplerate
    if rate == SAMPLE_RATE:
        return _read(file, start, count)
    # Input and output samples coincide every `step` input and `stride` output samples. Resampling
    # must begin at such a point to give the samples of the whole file.
    step, stride = rate // gcd(rate, SAMPLE_RATE), SAMPLE_RATE // gcd(rate, SAMPLE_RATE)
    points = max(0, (start - _MARGIN) // stride)
    first = points * step
    stop = min(file.frames, -(-(start + count + _MARGIN) * rate // SAMPLE_RATE))
    audio = soxr.resample(_read(file, first, stop - first), rate, SAMPLE_RATE)
    audio = audio[start - points * stride :][:count]
    return np.pad(audio, (0, count - len(audio)))  # the last sample may be rounded away


def _read(file: soundfile.SoundFile, start: int, count: int) -> np.ndarray:
    """Return frames at the file's own rate, channels averaged: float32 (count,)."""
    if start + count > file.frames:
        raise BadFile(f"is truncated: it now ends at sample {file.frames:,}.")
    audio = read_frames(file, start, count)
    audio = audio if audio.ndim == 1 else audio.mean(axis=1)
    return np.pad(audio, (0, count - len(audio)))  # an mp3 may lack its last frame
