"""Audio of a task: which rate to read, decoding, resampling, reading ahead, content hashes."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from harness.errors import UserError
from harness.memory import FileMemory
from harness.task import Task

MAX_SECONDS = 1200.0
"""HEAR's common API promises models sounds of up to 20 minutes."""

_OPEN_LENGTH = 0x7FFF0000  # wav writers on a pipe leave the length open: about 2 or 4 GiB
_AHEAD_BYTES = 512 << 20  # decoded audio that read_ahead may hold, estimated
_EXPANSION = 4  # 16-bit samples become float32, held at both rates while resampled
_BLOCK = 1 << 20
_MP3_FRAME = 1152  # samples; some encoders count the frame that holds the tag as sound
_MP3_TAG_WITHIN = 2048  # bytes, more than the first frame of an MP3 can have


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
        path: any format that soundfile reads.
        rate: the rate that it must have, where one is promised.

    Raises:
        BadAudio: missing, unreadable, truncated, empty, not mono, of another rate, longer than 20
            minutes, or with samples that are NaN or infinite.
    """
    refuse_truncated_wav(path)
    with _open(path) as file:
        info = _info(file)
        if faults := _header_faults(info, rate):
            raise BadAudio(path, " ".join(faults))
        try:
            audio = read_frames(file)
        except ValueError as error:
            raise BadAudio(path, str(error)) from error
    if not np.isfinite(audio).all():
        raise BadAudio(path, "holds samples that are NaN or infinite.")
    return audio, info


def read_frames(sound: soundfile.SoundFile, frames: int = -1, **how: bool) -> np.ndarray:
    """Read ``frames`` from where a sound stands, or up to its end where that comes first or for -1.

    An MP3 that says its length is allowed to lack one frame of MPEG's, and one that does not, whose
    length libsndfile guesses from the file's size, to be of any length.

    Args:
        sound: open; of a file or an ``io.BytesIO``.
        frames: how many.
        how: as ``soundfile.SoundFile.read`` takes it.

    Returns:
        float32 (frames,), or (frames, channels).

    Raises:
        ValueError: it cannot be decoded, or ends before its header says; with what to say after its
            name.
    """
    promised = sound.frames - sound.tell()
    wanted = promised if frames < 0 else min(frames, promised)
    try:
        audio: np.ndarray = sound.read(frames, dtype="float32", **how)
    except soundfile.SoundFileError as error:
        raise ValueError(f"cannot be decoded ({error}).") from error
    if len(audio) < wanted and (
        sound.format != "MP3" or (len(audio) < wanted - _MP3_FRAME and _says_length(sound))
    ):
        raise ValueError(f"is truncated: {len(audio)} of {wanted} samples are present.")
    return audio


def _says_length(mp3: soundfile.SoundFile) -> bool:
    """Whether the tag in which encoders count an MP3's frames is there: Xing, or Info."""
    in_memory = isinstance(mp3.name, io.BytesIO)
    with io.BytesIO(mp3.name.getbuffer()) if in_memory else open(mp3.name, "rb") as file:
        head = file.read(10)
        if head.startswith(b"ID3"):
            file.seek(10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:])))
        else:
            file.seek(0)
        first = file.read(_MP3_TAG_WITHIN)
    return b"Xing" in first or b"Info" in first


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
            return self._memory.recall(path, lambda: _file_sha256(path))
        except OSError as error:
            raise BadAudio(path, f"cannot be read ({error.strerror}).") from error

    def save(self) -> None:
        """Write what is new to the memory, whole or not at all."""
        self._memory.save()


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _expected_bytes(path: Path) -> int:
    try:
        return os.stat(path).st_size * _EXPANSION
    except OSError:
        return 0  # reading it will say what is wrong


def _open(path: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise BadAudio(path, f"is no audio file that can be read ({error}).") from error


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


def refuse_truncated_wav(path: Path) -> None:
    """Compare a wav's data chunk with the file: libsndfile reads a cut file short in silence.

    Raises:
        BadAudio: missing, unreadable, empty, or a wav that is shorter than its header says.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise BadAudio(path, "is an empty file.")
            riff, _, wave = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
            while (riff, wave) == (b"RIFF", b"WAVE"):
                header = file.read(8)
                if len(header) < 8:
                    raise BadAudio(path, "is truncated: it ends before its sound begins.")
                name, length = struct.unpack("<4sI", header)
                if name == b"data":
                    present = size - file.tell()
                    if present < length < _OPEN_LENGTH:
                        raise BadAudio(
                            path, f"is truncated: {present} of {length} bytes of sound are present."
                        )
                    return
                file.seek(length + length % 2, os.SEEK_CUR)
    except FileNotFoundError as error:
        raise BadAudio(path, "is missing.") from error
    except OSError as error:
        raise BadAudio(path, f"cannot be read ({error.strerror}).") from error
