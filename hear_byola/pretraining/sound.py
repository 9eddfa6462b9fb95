"""One sound file: what its header says, and any stretch of it at 16 kHz, without the rest."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from hear_byola.frontend import SAMPLE_RATE

EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"})
"""What is taken for audio in folders and tar files, in lower case."""

# Resampling needs a little signal beyond both ends of a stretch. From 128 output samples on, no
# rate between 16,001 and 192,000 Hz showed a difference to the whole file beyond float32 rounding.
_MARGIN = 256
# An mp3 frame (1,152 samples) may use bits of earlier ones, so decoding starts some frames ahead.
_MP3_LEAD = 4 * 1152
_LONGEST = 1 << 48  # frames; libsndfile gives a huge number where a header leaves the length open
_OPEN_WAV = 0x7FFF0000  # wav writers on a pipe leave the length open: about 2 or 4 GiB


class BadSound(ValueError):
    """A sound that cannot be used; the text is a predicate, as in "holds no sample."."""


@dataclass(frozen=True)
class Header:
    """Length in frames (samples of one channel) and sample rate in Hz, as in the file."""

    frames: int
    rate: int

    def __post_init__(self) -> None:
        if self.frames == 0:
            raise BadSound("is empty: it holds no sample.")
        if self.rate < SAMPLE_RATE:
            raise BadSound(
                f"has a sample rate of {self.rate} Hz: below {SAMPLE_RATE} Hz it lacks the upper "
                "bands, and would teach that sounds end there."
            )


def samples_at_16k(frames: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Lengths after resampling, in whole samples: int64, rounded down, at least 1."""
    return np.maximum(frames.astype(np.int64) * SAMPLE_RATE // rate, 1)


def read_header(source: Path | BinaryIO) -> Header:
    """Read a sound's header and its last sample, which a file that was cut off lacks.

    Args:
        source: a path, or a seekable binary file at its start.

    Raises:
        BadSound: no sound that can be read, empty, cut off, or below 16 kHz.
    """
    try:
        _refuse_cut_wav(source)
        with _open(source) as file:
            if not 0 <= file.frames < _LONGEST:
                raise BadSound("does not say how long it is.")
            header = Header(file.frames, file.samplerate)
            if file.format != "OGG":  # there the length is not a promise, but the last page's time
                _read(file, header.frames - 1, 1)
            return header
    except soundfile.SoundFileError as error:
        raise BadSound(f"is no audio that can be read ({_reason(error)}).") from error
    except OSError as error:
        raise BadSound(f"cannot be read ({error.strerror or error}).") from error


def read_stretch(source: Path | BinaryIO, start: int, count: int) -> np.ndarray:
    """A stretch of the mono sound at 16 kHz: float32 (count,), in [-1, 1].

    It equals the same stretch of the whole file, resampled by soxr (its "HQ" quality), up to
    rounding. Channels are averaged; what overshoots is clipped. Only the stretch is decoded, with
    a short lead and tail.

    Args:
        source: a path, or a seekable binary file at its start.
        start, count: samples at 16 kHz, inside the sound.

    Raises:
        BadSound: it cannot be decoded there, is cut off, or holds samples that are no numbers.
    """
    try:
        with _open(source) as file:
            audio = _resampled(file, start, count)
    except soundfile.SoundFileError as error:
        raise BadSound(f"cannot be decoded ({_reason(error)}).") from error
    except OSError as error:
        raise BadSound(f"cannot be read ({error.strerror or error}).") from error
    if not np.isfinite(audio).all():
        raise BadSound("holds samples that are NaN or infinite.")
    return np.clip(audio, -1.0, 1.0, out=audio)


def _open(source: Path | BinaryIO) -> soundfile.SoundFile:
    if not isinstance(source, Path):
        return soundfile.SoundFile(source)
    try:
        return soundfile.SoundFile(os.fsencode(source))  # as bytes: it need not be UTF-8
    except soundfile.SoundFileError:
        with open(source, "rb"):  # tells what libsndfile calls a system error
            raise


def _resampled(file: soundfile.SoundFile, start: int, count: int) -> np.ndarray:
    rate = file.samplerate
    if rate == SAMPLE_RATE:
        return _read(file, start, count)
    # Input and output samples coincide once in every `step` input and `stride` output samples:
    # resampling must begin at such a point to fall on the grid of the whole file.
    step, stride = rate // gcd(rate, SAMPLE_RATE), SAMPLE_RATE // gcd(rate, SAMPLE_RATE)
    points = max(0, (start - _MARGIN) // stride)
    first = points * step
    stop = min(file.frames, -(-(start + count + _MARGIN) * rate // SAMPLE_RATE))
    audio = soxr.resample(_read(file, first, stop - first), rate, SAMPLE_RATE)
    audio = audio[start - points * stride :][:count]
    return np.pad(audio, (0, count - len(audio)))  # the last sample may be rounded away


def _read(file: soundfile.SoundFile, start: int, count: int) -> np.ndarray:
    """Frames at the file's own rate, channels averaged, float32 (count,)."""
    lead = min(start, _MP3_LEAD) if file.format == "MP3" else 0
    file.seek(start - lead)
    audio: np.ndarray = file.read(lead + count, dtype="float32", always_2d=True)[lead:]
    if len(audio) < count:
        raise BadSound(
            f"is cut off: it ends before sample {start + count:,} of {file.frames:,}, which its "
            "header promises."
        )
    return audio[:, 0] if audio.shape[1] == 1 else audio.mean(axis=1)


def _reason(error: soundfile.SoundFileError) -> str:
    return getattr(error, "error_string", str(error)).strip().rstrip(".") or "damaged"


def _refuse_cut_wav(source: Path | BinaryIO) -> None:
    """Compare a wav's data chunk with the file: libsndfile reads a cut file short in silence."""
    if isinstance(source, Path):
        with open(source, "rb") as file:
            _refuse_cut_wav(file)
        return
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    if size == 0:
        raise BadSound("is an empty file.")
    riff, _, wave = struct.unpack("<4sI4s", source.read(12).ljust(12, b"\0"))
    while (riff, wave) == (b"RIFF", b"WAVE"):
        chunk = source.read(8)
        if len(chunk) < 8:
            raise BadSound("is cut off: it ends before its sound begins.")
        name, length = struct.unpack("<4sI", chunk)
        if name == b"data":
            present = size - source.tell()
            if present < length < _OPEN_WAV:
                raise BadSound(f"is cut off: {present:,} of {length:,} bytes of sound are there.")
            break
        source.seek(length + length % 2, os.SEEK_CUR)
    source.seek(0)
