"""Choose, decode, resample and hash the audio files of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from harness.core.errors import UserError
from harness.core.hashing import file_sha256
from harness.core.memory import FileMemory
from hear_byola.core import audiofile
from hear_byola.core.audiofile import BadFile
from tasks.format.task import Task

MAX_SECONDS = 1200.0
"""Longest sound, in seconds, that a model of HEAR's common API must accept (20 minutes)."""


class BadAudio(UserError):
    """An audio file cannot be used; has its ``path`` and the ``reason``, a sentence."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class AudioInfo:
    """The content of a file's header; ``encoding`` is ``WAV PCM_16`` in HEAR's format."""

    frames: int
    rate: int
    channels: int
    encoding: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / max(self.rate, 1)


def present_rates(directory: Path) -> tuple[int, ...]:
    """Return the sample rates that have a folder in a task directory, ascending."""
    names = [path.name for path in directory.iterdir() if path.is_dir()]
    return tuple(sorted(int(name) for name in names if name.isascii() and name.isdecimal()))


def nearest_rate(rates: Sequence[int], sample_rate: int) -> int:
    """Return the rate to read of ascending ``rates``: the same, next higher, or highest rate."""
    return next((rate for rate in rates if rate >= sample_rate), rates[-1])


def source_rate(task: Task, sample_rate: int) -> int:
    """Return the rate of a task's audio to read for a model at ``sample_rate`` in Hz.

    It is the :func:`nearest_rate` of those in the task directory.

    Raises:
        UserError: the task directory has no audio folder.
    """
    rates = present_rates(task.directory)
    if not rates:
        raise UserError(
            f"{task.directory} contains no audio: it needs a folder named by a sample rate, "
            f"such as {sample_rate}/{task.splits[0]}/."
        )
    return nearest_rate(rates, sample_rate)


def audio_path(task: Task, split: str, clip_name: str, rate: int) -> Path:
    """Return the path of a clip at a sample rate."""
    # One path in place of three: a task can have a million clips.
    return Path(f"{task.directory}/{rate}/{split}/{clip_name}")


def audio_paths(task: Task, split: str, rate: int) -> list[str]:
    """Return the paths of a split's clips as text; a Path of each would take ten times as long."""
    folder = audio_path(task, split, "", rate)
    return [f"{folder}/{clip.name}" for clip in task.clips[split]]


def decode(path: Path, rate: int | None = None) -> tuple[np.ndarray, AudioInfo]:
    """Return the samples of a file at its own rate, float32 (n_samples,), and its header.

    Args:
        path: a file in any of the formats that :mod:`hear_byola.core.audiofile` accepts.
        rate: the sample rate in Hz that it must have; None for any.

    Raises:
        BadAudio: the file is missing, unreadable, truncated, empty, not mono, longer than 20
            minutes, has another rate, or has samples that are NaN or infinite.
    """
    if plain := audiofile.read_plain_wav(path):
        audio, info = plain.audio, AudioInfo(len(plain.audio), plain.rate, 1, "WAV PCM_16")
        if faults := _header_faults(info, rate):
            raise BadAudio(path, " ".join(faults))
        return audio, info
    with open_sound(path) as sound:
        encoding = f"{sound.format} {sound.subtype}"
        info = AudioInfo(sound.frames, sound.samplerate, sound.channels, encoding)
        if faults := _header_faults(info, rate):
            raise BadAudio(path, " ".join(faults))
        audio = read_frames(path, sound)
    if not np.isfinite(audio).all():
        raise BadAudio(path, "contains samples that are NaN or infinite.")
    return audio, info


def open_sound(path: Path, content: BinaryIO | None = None) -> soundfile.SoundFile:
    """Open a sound of which all bytes are present (:func:`hear_byola.core.audiofile.open_sound`).

    Args:
        path: path of the file; for a file in an archive, its name in messages.
        content: content of a file in an archive; None to read ``path``.

    Raises:
        BadAudio: the file is missing, unreadable, empty, truncated, of unknown length, or in a
            format that is not accepted.
    """
    try:
        return audiofile.open_sound(path if content is None else content)
    except BadFile as error:
        raise BadAudio(path, str(error)) from error
    except FileNotFoundError as error:
        raise BadAudio(path, "is missing.") from error
    except OSError as error:
        raise BadAudio(path, f"cannot be read ({error.strerror or error}).") from error


def check_end(path: Path, sound: soundfile.SoundFile) -> None:
    """Check, without decoding all of a sound, that its end is present.

    Raises:
        BadAudio: the end is missing.
    """
    try:
        audiofile.check_end(sound)
    except BadFile as error:
        raise BadAudio(path, str(error)) from error


def read_frames(
    path: Path, sound: soundfile.SoundFile, start: int = 0, frames: int = -1
) -> np.ndarray:
    """Read frames of a sound that was just opened, at most up to its end.

    Args:
        path: the name of the sound in messages.
        sound: as :func:`open_sound` returned it.
        start: the first frame to read.
        frames: number of frames; -1 for all.

    Returns:
        float32 (frames,), or (frames, channels) if there is more than one channel.

    Raises:
        BadAudio: it cannot be decoded, or is shorter than its header states.
    """
    try:
        return audiofile.read_frames(sound, start, frames)
    except BadFile as error:
        raise BadAudio(path, str(error)) from error


def resampled_length(frames: int, rate: int, sample_rate: int) -> int:
    """Return how many samples :func:`read_audio` returns of ``frames`` at ``rate`` Hz."""
    return (2 * frames * sample_rate + rate) // (2 * rate)  # soxr rounds half up


def read_audio(path: Path, sample_rate: int) -> np.ndarray:
    """Return a clip as HEAR models take it: mono float32 (n_samples,), [-1, 1], ``sample_rate`` Hz.

    A file of another rate is resampled by soxr (its "HQ" quality). Samples beyond [-1, 1], which
    resampled full-scale sounds and unscaled float files have, are clipped as in HEAR's 16-bit
    files.

    Raises:
        BadAudio: as :func:`decode`.
    """
    audio, info = decode(path)
    if info.rate != sample_rate:
        audio = soxr.resample(audio, info.rate, sample_rate)
        if len(audio) == 0:
            raise BadAudio(path, f"is too short: resampled to {sample_rate} Hz it has no sample.")
    return np.clip(audio, -1.0, 1.0, out=audio)


class ContentHashes:
    """Computes SHA-256 hashes of files and stores them until a file's state changes.

    Args:
        memory: the JSON file in which they are stored.
        verify: hash each file again once per object, even if its hash is stored.
        read_only: store nothing on disk.
        seen: as for :class:`harness.core.memory.FileMemory`.
    """

    def __init__(
        self,
        memory: Path,
        verify: bool = False,
        read_only: bool = False,
        seen: dict[str, str] | None = None,
    ) -> None:
        self._memory = FileMemory(memory, verify, read_only, seen)

    def sha256(self, path: Path | str) -> str:
        """Return the hash of a file's content.

        Raises:
            BadAudio: the file is missing or cannot be read.
        """
        try:
            return self._memory.recall(path, lambda: file_sha256(path))
        except OSError as error:
            raise BadAudio(Path(path), f"cannot be read ({error.strerror}).") from error

    def save(self) -> None:
        """Write new hashes to the file, whole or not at all."""
        self._memory.save()


def _header_faults(info: AudioInfo, rate: int | None) -> list[str]:
    faults = []
    if info.frames == 0:
        faults.append("is empty: it contains no sample.")
    if info.channels != 1:
        faults.append(f"has {info.channels} channels; HEAR audio is mono.")
    if rate is not None and info.rate != rate:
        faults.append(f"has a sample rate of {info.rate} Hz, but its folder is for {rate} Hz.")
    if info.seconds > MAX_SECONDS:
        faults.append(f"is {info.seconds:.1f} s long; HEAR models take at most {MAX_SECONDS:g} s.")
    return faults
