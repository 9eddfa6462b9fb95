"""Decodes the sounds of a corpus: the ``read`` of every prepared task."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from harness.audio import read_frames, refuse_truncated_wav
from harness.errors import UserError
from tasks.prepare.archive import File


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a sound: from frame ``start`` on, ``frames`` long."""

    file: File
    start: int
    frames: int


def read_sound(source: object) -> tuple[np.ndarray, int]:
    """Decode a :class:`File` or a :class:`Stretch`.

    Returns:
        Samples, float32 (frames, channels) in [-1, 1] or (frames,), and the rate in Hz.

    Raises:
        UserError: it is no sound in a format of libsndfile's, was cut short, or its archive is
            damaged.
        OSError: it cannot be read.
    """
    file, start, frames = source, 0, -1
    if isinstance(source, Stretch):
        file, start, frames = source.file, source.start, source.frames
    if not isinstance(file, File):
        raise TypeError(f"{source!r} is no sound of a corpus")
    with _open(file) as sound:
        try:
            sound.seek(start)
            return read_frames(sound, frames), sound.samplerate
        except soundfile.SoundFileError as error:
            raise UserError(f"{file} cannot be decoded ({error}).") from error
        except ValueError as error:
            raise UserError(f"{file} {error}") from error


def length(file: File) -> tuple[int, int]:
    """Return the number of frames of a sound, and its rate in Hz, from its header.

    Raises:
        UserError, OSError: as :func:`read_sound`.
    """
    with _open(file) as sound:
        return sound.frames, sound.samplerate


def _open(file: File) -> soundfile.SoundFile:
    if not file.member:  # an archive knows by itself whether a file in it is whole
        refuse_truncated_wav(Path(file.path))
    elif not file.size:
        raise UserError(f"{file} is an empty file.")
    try:
        return soundfile.SoundFile(io.BytesIO(file.content()) if file.member else file.path)
    except soundfile.SoundFileError as error:
        raise UserError(f"{file} is no sound that can be decoded ({error}).") from error
