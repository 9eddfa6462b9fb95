"""Audio of a task: which rate to read, decoding, resampling, reading ahead, content hashes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
"""HEAR's common API promises models sounds of up to 20 minutes."""

_AHEAD_BYTES = 512 << 20  # decoded audio that read_ahead may hold, estimated
_EXPANSION = 4  # 16-bit samples become float32, held at both rates while resampled


class BadAudio(UserError):
    """An audio file that cannot be used, with ``path`` and the ``reason``, a sentence."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says; ``encoding`` is ``WAV PCM_16`` for what HEAR asks for."""

    frames: int
    rate: int
    channels: int
    encoding: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / max(self.rate, 1)


def present_rates(directory: Path) -> tuple[int, ...]:
    """The sample rates that have a folder in a task directory, ascending."""
    names = [path.name for path in directory.iterdir() if path.is_dir()]
    return tuple(sorted(int(name) for name in names if name.isascii() and name.isdecimal()))


def nearest_rate(rates: Sequence[int], sample_rate: int) -> int:
    """Of ascending ``rates`` the one to read: the same, else the next higher, else the highest."""
    return next((rate for rate in rates if rate >= sample_rate), rates[-1])


def source_rate(task: Task, sample_rate: int) -> int:
    """The rate of the task's audio to read for a model at ``sample_rate`` (:func:`nearest_rate`).

    Raises:
        UserError: when the task directory holds no audio folder.
    """
    rates = present_rates(task.directory)
    if not rates:
        raise UserError(
            f"{task.directory} holds no audio: it needs a folder named by a sample rate, "
            f"as {sample_rate}/{task.splits[0]}/."
        )
    return nearest_rate(rates, sample_rate)


def audio_path(task: Task, split: str, clip_name: str, rate: int) -> Path:
    """Where the layout puts a clip at a rate."""
    return task.directory / str(rate) / split / clip_name


def decode(path: Path, rate: int | None = None) -> tuple[np.ndarray, AudioInfo]:
    """The samples of a file at its own rate, float32 (n_samples,), and its header.

    Args:
        path: in any of the formats that :mod:`harness.audiofile` accepts.
        rate: the rate that it must have, where one is promised.

    Raises:
        BadAudio: missing, unreadable, truncated, empty, not mono, of another rate, longer than 20
            minutes, or with samples that are NaN or infinite.
    """
    with open_sound(path) as sound:
        info = _info(sound)
        if faults := _header_faults(info, rate):
            raise BadAudio(path, " ".join(faults))
        audio = read_frames(path, sound)
    if not np.isfinite(audio).all():
        raise BadAudio(path, "holds samples that are NaN or infinite.")
    return audio, info


def open_sound(path: Path, content: BinaryIO | None = None) -> soundfile.SoundFile:
    """Open a sound of which all bytes are present (:func:`harness.audiofile.open_sound`).

    Args:
        path: of the file; for a file in an archive, what messages call it.
        content: of a file in an archive.

    Raises:
        BadAudio: missing, unreadable, empty, truncated, of unknown length, or in a format that is
            not accepted.
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
    """Refuse a sound that ends early, without decoding all of it.

    Raises:
        BadAudio: the end is not there.
    """
    try:
        audiofile.check_end(sound)
    except BadFile as error:
        raise BadAudio(path, str(error)) from error


def read_frames(
    path: Path, sound: soundfile.SoundFile, start: int = 0, frames: int = -1
) -> np.ndarray:
    """Read frames of a sound that was just opened, up to its end if that comes first.

    Args:
        path: what messages call the sound.
        sound: as :func:`open_sound` returned it.
        start: the first frame to read.
        frames: how many; -1 for all.

    Returns:
        float32 (frames,), or (frames, channels) of more than one channel.

    Raises:
        BadAudio: it cannot be decoded, or ends before its header says.
    """
    try:
        return audiofile.read_frames(sound, start, frames)
    except BadFile as error:
        raise BadAudio(path, str(error)) from error


def read_audio(path: Path, sample_rate: int) -> np.ndarray:
    """A clip as HEAR models take it: float32 (n_samples,), mono, in [-1, 1], at ``sample_rate``.

    Another rate is resampled by soxr (its "HQ" quality). What overshoots, as resampled full-scale
    sounds and unscaled float files do, is clipped, as in the 16-bit files that HEAR made.

    Raises:
        BadAudio: as :func:`decode`.
    """
    audio, info = decode(path)
    if info.rate != sample_rate:
        audio = soxr.resample(audio, info.rate, sample_rate)
        if len(audio) == 0:
            raise BadAudio(path, f"is too short: no sample is left of it at {sample_rate} Hz.")
    return np.clip(audio, -1.0, 1.0, out=audio)


def read_ahead(
    paths: Sequence[Path], sample_rate: int, *, threads: int = 2, ahead: int = 64
) -> Generator[np.ndarray, None, None]:
    """Yield :func:`read_audio` of each path, in order, decoded by threads before it is asked for.

    At most ``ahead`` clips wait, fewer when they are long (about 512 MB, and always one). An
    error surfaces when its clip's turn comes. Closing the generator, or an error, drops what was
    not begun and waits for the threads.
    """
    pending: deque[tuple[Future[np.ndarray], int]] = deque()
    waiting = deque(paths)
    held = 0
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")

    def fill() -> None:
        nonlocal held
        while waiting and len(pending) < ahead:
            size = _expected_bytes(waiting[0])
            if pending and held + size > _AHEAD_BYTES:
                return
            pending.append((pool.submit(read_audio, waiting.popleft(), sample_rate), size))
            held += size

    try:
        fill()
        while pending:
            future, size = pending.popleft()
            audio = future.result()
            held -= size
            del future  # it would keep the clip alive while the consumer works
            fill()
            yield audio
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class ContentHashes:
    """sha256 of files, remembered on disk as long as a file's state stays the same.

    Args:
        memory: where to remember them, a JSON file.
        verify: hash each file again, once in this object's life, whatever is remembered.
    """

    def __init__(self, memory: Path, verify: bool = False) -> None:
        self._memory = FileMemory(memory, verify)

    def sha256(self, path: Path) -> str:
        """The hash of a file's content.

        Raises:
            BadAudio: when the file is missing or cannot be read.
        """
        try:
            return self._memory.recall(path, lambda: file_sha256(path))
        except OSError as error:
            raise BadAudio(path, f"cannot be read ({error.strerror}).") from error

    def save(self) -> None:
        """Write what is new to the memory, whole or not at all."""
        self._memory.save()


def _expected_bytes(path: Path) -> int:
    try:
        return os.stat(path).st_size * _EXPANSION
    except OSError:
        return 0  # reading it will say what is wrong


def _header_faults(info: AudioInfo, rate: int | None) -> list[str]:
    faults = []
    if info.frames == 0:
        faults.append("is empty: it holds no sample.")
    if info.channels != 1:
        faults.append(f"has {info.channels} channels; HEAR audio is mono.")
    if rate is not None and info.rate != rate:
        faults.append(f"has a sample rate of {info.rate} Hz in a folder of {rate} Hz.")
    if info.seconds > MAX_SECONDS:
        faults.append(f"is {info.seconds:.1f} s long; HEAR models take at most {MAX_SECONDS:g} s.")
    return faults


def _info(file: soundfile.SoundFile) -> AudioInfo:
    return AudioInfo(file.frames, file.samplerate, file.channels, f"{file.format} {file.subtype}")
