"""Sounds to the wav files of a task: mono, at each rate, cut or padded, 16 bit, side by side."""

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

from harness.core.errors import UserError
from harness.core.files import replacing
from harness.core.progress import Countdown
from harness.core.workers import WorkerDied, Workers

Read = Callable[[object], tuple[np.ndarray, int]]
"""Takes a clip's source; returns its samples, float (frames,) or (frames, channels) in [-1, 1],
and their rate in Hz. What cannot be read raises UserError, OSError or SoundFileError. It must be a
function of a module, because it runs in other processes too."""

_HEADER = 44  # bytes that libsndfile writes before the samples of a 16-bit wav
_FULL_SCALE = 32768
_AHEAD = 4  # clips a process has waiting
_GRACE = 10.0  # seconds that clips in work get to end when the rest is not wanted


@dataclass(frozen=True)
class Order:
    """A sound to be written: its name for messages, its source, and (rate, path) of each file."""

    name: str
    source: object
    files: tuple[tuple[int, Path], ...]


@dataclass
class WrittenWavs:
    """What became of orders: how many files are new, were there, have clipped samples, failed."""

    written: int = 0
    kept: int = 0
    clipped: list[str] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of each sound that cannot be used."""


def write_wavs(
    orders: Sequence[Order],
    read: Read,
    seconds: float | None,
    *,
    jobs: int,
    say: Callable[[str], None],
) -> WrittenWavs:
    """Write the files of all orders; those that are there, whole, are kept.

    A sound is mixed to mono by the mean of its channels, resampled by soxr ("VHQ"), cut or
    zero-padded at its end to ``seconds`` (None: left alone), rounded to 16 bit, and what is beyond
    full scale clipped. Each file appears whole or not at all; its folder must exist.

    Args:
        orders: what to write.
        read: gives an order's sound.
        seconds: length of every sound.
        jobs: processes; 1 stays in this one.
        say: told how far it is, each 5 s.

    Raises:
        UserError: the disk takes no more, or a process was killed. A sound that cannot be used
            does not raise: it is in the outcome.
    """
    todo, outcome = [], WrittenWavs()
    for order in orders:
        missing = tuple((rate, path) for rate, path in order.files if not _is_whole(path))
        outcome.kept += len(order.files) - len(missing)
        if missing:
            todo.append(Order(order.name, order.source, missing))
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


_Written = tuple[Order, str, bool]
"""An order, the reason why it failed or "", and whether samples of it were clipped."""


def _done(
    orders: Sequence[Order], read: Read, seconds: float | None, jobs: int
) -> Generator[_Written, None, None]:
    if jobs <= 1:
        for order in orders:
            yield _write(order, read, seconds)
        return
    workers = Workers([{}] * jobs)
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
            f"A worker process {error}. Run again with fewer jobs: what is written is kept."
        ) from error
    finally:
        workers.close(grace=_GRACE)


def _write(order: Order, read: Read, seconds: float | None) -> _Written:
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
        raise UserError("it holds no sample.")
    if not np.isfinite(audio).all():
        raise UserError("it holds samples that are NaN or infinite.")
    return audio.astype(np.float32, copy=False), rate


def _fitted(audio: np.ndarray, rate: int, to: int, seconds: float | None) -> np.ndarray:
    if rate != to:
        audio = soxr.resample(audio, rate, to, quality="VHQ")
    if seconds is None:
        if len(audio) == 0:
            raise UserError(f"it is too short: no sample is left of it at {to} Hz.")
        return audio
    frames = round(seconds * to)
    return np.pad(audio[:frames], (0, max(0, frames - len(audio))))


def _write_whole(path: Path, rate: int, audio: np.ndarray) -> None:
    samples = np.clip(np.rint(audio * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    # libsndfile would not say why a file cannot be written.
    content = io.BytesIO()
    soundfile.write(content, samples.astype(np.int16), rate, format="WAV", subtype="PCM_16")
    try:
        # Not synced one by one: the writer of the task syncs all files at its end.
        with replacing(path, one_writer=False, sync=False) as temporary:
            temporary.write_bytes(content.getbuffer())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}). Make room or name another folder, and "
            "run again: what is written is kept."
        ) from error


def _is_whole(path: Path) -> bool:
    """Whether a wav is as long as its header says: a power cut leaves empty or cut files."""
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return False
    return _HEADER < size == _HEADER + int.from_bytes(header[-4:], "little")
