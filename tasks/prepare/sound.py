"""Decode the sounds of a corpus for the task writer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from harness.core.errors import UserError
from tasks.audio import BadAudio, open_sound, read_frames
from tasks.prepare.archive import File


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a sound: ``frames`` frames from frame ``start`` on."""

    file: File
    start: int
    frames: int


def read_sound(source: object) -> tuple[np.ndarray, int]:
    """Decode a :class:`File` or a :class:`Stretch`.

    Returns:
        Samples, float32 (frames, channels) in [-1, 1] or (frames,), and the rate in Hz.

    Raises:
        UserError: its format is not accepted, it is truncated, or its archive is damaged.
        OSError: it cannot be read.
    """
    file, start, frames = source, 0, -1
    if isinstance(source, Stretch):
        file, start, frames = source.file, source.start, source.frames
    if not isinstance(file, File):
        raise TypeError(f"{source!r} is not a sound of a corpus")
    with _opened(file) as sound:
        return read_frames(Path(str(file)), sound, start, frames), sound.samplerate


def length(file: File) -> tuple[int, int]:
    """Return the number of frames of a sound, and its rate in Hz, from its header.

    Raises:
        UserError, OSError: as :func:`read_sound`.
    """
    with _opened(file) as sound:
        return sound.frames, sound.samplerate


@contextmanager
def _opened(file: File) -> Iterator[soundfile.SoundFile]:
    content = io.BytesIO(file.content()) if file.member else None
    try:
        with open_sound(Path(str(file)), content) as sound:
            yield sound
    except BadAudio as error:
        raise UserError(f"{file} {error.reason}") from error
