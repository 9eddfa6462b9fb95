"""Write sounds as the 16-bit mono wav files of a task at each sample rate, in parallel."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
import soxr

from harness.core.calls import WorkerDied
from harness.core.errors import UserError
from harness.core.files import replacing
from harness.core.progress import Countdown
from harness.core.workers import Workers

Read = Callable[[object], tuple[np.ndarray, int]]
"""Takes a clip's source and returns its samples, float (frames,) or (frames, channels) in [-1, 1],
and their rate in Hz. It raises UserError, OSError or SoundFileError if it cannot read the source.
It must be a function of a module, because it also runs in other processes."""

_HEADER = 44  # bytes that libsndfile writes before the samples of a 16-bit wav
_FULL_SCALE = 32768
_AHEAD = 4  # clips queued per process
_GRACE = 3.0  # seconds that running clips get to finish when the others are cancelled


@dataclass(frozen=True)
class WavOrder:
    """A sound to be written: its name for messages, its source, and (rate, path) of each file."""

    name: str
    source: object
    files: tuple[tuple[int, Path], ...]


@dataclass
class WrittenWavs:
    """The outcome of orders: numbers of new and kept files, clipped sounds and failed sounds."""

    written: int = 0
    kept: int = 0
    clipped: list[str] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of each sound that cannot be used."""


def write_wavs(
    orders: Sequence[WavOrder],
    read: Read,
    seconds: float | None,
    *,
    jobs: int,
    say: Callable[[str], None],
) -> WrittenWavs:
    """Write the files of all orders; complete files that exist are kept.

    A sound is mixed to mono by the mean of its channels, resampled by soxr ("VHQ"), cut or
    zero-padded at its end to ``seconds`` (None: its length is kept), rounded to 16 bit, and
    clipped at full scale. Each file is written whole or not at all; its folder must exist.

    Args:
        orders: the sounds to write.
        read: returns the sound of an order's source.
        seconds: length of every sound; None to keep each length.
        jobs: number of worker processes; 1 works in this process.
        say: called with the progress every 5 s.

    Raises:
        UserError: the disk is full, or a worker process was killed. A sound that cannot be used
            raises nothing: the outcome lists it.
    """
    todo, outcome = [], WrittenWavs()
    for order in orders:
        missing = tuple((rate, path) for rate, path in order.files if not _is_whole(path))
        outcome.kept += len(order.files) - len(missing)
        if missing:
            todo.append(WavOrder(order.name, order.source, missing))
    countdown = Countdown(len(todo), say)
    with closing(_done(todo, read, seconds, min(jobs, len(todo)))) as done:
        for order, reason, clips in done:
            if reason:
                outcome.bad.append((order.name, reason))
            else:
                outcome.written += len(order.files)
                outcome.clipped += [order.name] * clips
            countdown.advance(len(outcome.bad))
    return outcome


_Written = tuple[WavOrder, str, bool]
"""An order, the reason why it failed or "", and whether samples of it were clipped."""


def _done(
    orders: Sequence[WavOrder], read: Read, seconds: float | None, jobs: int
) -> Generator[_Written, None, None]:
    if jobs <= 1:
        for order in orders:
            yield _write(order, read, seconds)
        return
    workers = Workers([{}] * jobs, imports=__name__)
    waiting, pending = iter(orders), set[Future[_Written]]()
    try:
        while True:
            for order in islice(waiting, jobs * _AHEAD - len(pending)):
                pending.add(workers.submit(_write, order, read, seconds))
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except WorkerDied as error:
        raise UserError(
            f"A worker process {error}. Run again with fewer jobs: files already written are kept."
        ) from error
    finally:
        workers.close(grace=_GRACE)


def _write(order: WavOrder, read: Read, seconds: float | None) -> _Written:
    try:
        mono, rate = _mono(*read(order.source))
        sounds = [(path, to, _fitted(mono, rate, to, seconds)) for to, path in order.files]
    except (UserError, OSError, soundfile.SoundFileError) as error:
        return order, str(error), False
    for path, to, sound in sounds:
        _write_whole(path, to, sound)
    return order, "", any(np.abs(sound).max() > 1.0 for _, _, sound in sounds)


def _mono(audio: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    if audio.ndim == 2:
        audio = audio.mean(axis=1)
    if len(audio) == 0:
        raise UserError("it contains no sample.")
    if not np.isfinite(audio).all():
        raise UserError("it contains samples that are NaN or infinite.")
    return audio.astype(np.float32, copy=False), rate


def _fitted(audio: np.ndarray, rate: int, to: int, seconds: float | None) -> np.ndarray:
    if rate != to:
        audio = soxr.resample(audio, rate, to, quality="VHQ")
    if seconds is None:
        if len(audio) == 0:
            raise UserError(f"it is too short: resampled to {to} Hz it has no sample.")
        return audio
    frames = round(seconds * to)
    return np.pad(audio[:frames], (0, max(0, frames - len(audio))))


def _write_whole(path: Path, rate: int, audio: np.ndarray) -> None:
    samples = np.clip(np.rint(audio * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    # The content is made in memory, because libsndfile does not report why a write fails.
    content = io.BytesIO()
    soundfile.write(content, samples.astype(np.int16), rate, format="WAV", subtype="PCM_16")
    try:
        # The writer of the task syncs all files at its end, which is faster than one by one.
        with replacing(path, one_writer=False, sync=False) as temporary:
            temporary.write_bytes(content.getbuffer())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}). Make room or choose another "
            "folder, and run again: files already written are kept."
        ) from error


def _is_whole(path: Path) -> bool:
    """Return whether a wav file is as long as its header states; a power cut can truncate it."""
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return False
    return _HEADER < size == _HEADER + int.from_bytes(header[-4:], "little")
