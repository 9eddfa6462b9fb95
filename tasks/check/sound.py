"""Decode each clip of a task once, and store the properties that checks need."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from threadpoolctl import threadpool_limits

from harness.core.memory import FileMemory
from tasks.audio import BadAudio, decode, open_sound
from tasks.check.fingerprint import fingerprint, to_text
from tasks.format.tables import Clip

_THREADS = 4
_GROUP = 32  # most items that a thread takes at once

Progress = Callable[[str, int, int], None]
"""Called with the name of the work, the number of items done, and their total number."""


class DecodedClip(NamedTuple):
    """The properties of a decoded file.

    Attributes:
        fault: a sentence; "" for a valid file. The other attributes are set only for valid files.
        frames: number of samples.
        peak: the largest magnitude of a sample.
        digest: hash of the decoded samples, independent of the container; "" for silence.
        encoding: container and sample format, such as ``WAV PCM_16``.
        fingerprint: as text (:mod:`tasks.check.fingerprint`); "" for silence, None if it was not
            computed.
    """

    fault: str = ""
    frames: int = 0
    peak: float = 0.0
    digest: str = ""
    encoding: str = ""
    fingerprint: str | None = None


Sounds = Mapping[str, Mapping[str, DecodedClip]]
"""The sounds of a task at one rate: split -> clip name -> sound; only splits with a folder."""


@dataclass(frozen=True)
class Ear:
    """How to decode: the stored properties, whether to compute fingerprints, and the progress."""

    memory: FileMemory | None = None
    fingerprints: bool = False
    progress: Progress = lambda *_: None


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
    """Yield the result of ``function`` for each item, in order; threads work in advance.

    Closing the generator, or an interrupt, stops the threads.
    """
    pool = ThreadPoolExecutor(_THREADS)
    stopped = threading.Event()
    # A thread takes several items at once: handing one item over costs as much as decoding a short
    # clip.
    size = min(_GROUP, 1 + len(items) // _GROUP)

    def work(start: int) -> list[_Result]:
        return [function(item) for item in items[start : start + size] if not stopped.is_set()]

    try:
        for results in pool.map(work, range(0, len(items), size)):
            yield from results
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def hear(
    directory: Path, splits: Mapping[str, Sequence[Clip]], rates: Sequence[int], ear: Ear
) -> dict[int, dict[str, dict[str, DecodedClip]]]:
    """Return the sounds of all clips, in order: rate -> split -> clip name -> sound.

    Fingerprints are computed at the first rate.
    """
    heard: dict[int, dict[str, dict[str, DecodedClip]]] = {rate: {} for rate in rates}
    folders = [
        (rate, split, folder)
        for rate in rates
        for split in splits
        if (folder := directory / str(rate) / split).is_dir()
    ]
    done, total = 0, sum(len(splits[split]) for _, split, _ in folders)
    # Fingerprints are computed in parallel, so BLAS threads would only compete for the cores.
    with threadpool_limits(1, "blas"):
        for rate, split, folder in folders:
            closely = ear.fingerprints and rate == rates[0]
            sounds = dict.fromkeys((clip.name for clip in splits[split]), DecodedClip())
            for name, sound in _hear_folder(folder, list(sounds), rate, ear.memory, closely):
                sounds[name] = sound
                done += 1
                ear.progress("decoding clips", done, total)
            heard[rate][split] = sounds
    return heard


def clip_frames(path: str, memory: FileMemory) -> int:
    """Return the number of samples of a file, from the stored properties or its header.

    Raises:
        BadAudio: the file cannot be opened.
    """
    try:
        told = memory.known(path)
    except OSError:
        told = None  # opening the file reports the error
    if told:
        return int(told.partition(",")[0])
    with open_sound(Path(path)) as opened:
        return opened.frames


def _hear_folder(
    folder: Path, names: Sequence[str], rate: int, memory: FileMemory | None, closely: bool
) -> Iterator[tuple[str, DecodedClip]]:
    """Yield the sound of each clip of a folder; stored ones first, because they need no thread."""
    unheard = []
    for name in names:
        sound = _remembered(f"{folder}/{name}", memory, closely)
        if sound is None:
            unheard.append(name)
        else:
            yield name, sound
    sounds = in_threads(lambda name: _listen(folder / name, rate, memory, closely), unheard)
    yield from zip(unheard, sounds, strict=True)


def _remembered(path: str, memory: FileMemory | None, closely: bool) -> DecodedClip | None:
    try:
        told = memory.known(path) if memory else None
    except OSError:
        return None  # decoding the file reports the error
    if told is None:
        return None
    sound = _sound(told)
    return None if _lacks(sound, closely) else sound


def _listen(path: Path, rate: int, memory: FileMemory | None, closely: bool) -> DecodedClip:
    def find_out() -> str:
        audio, info = decode(path, rate)
        peak = float(max(audio.max(), -audio.min()))
        digest = hashlib.sha256(audio.data).hexdigest() if peak else ""
        told = f"{info.frames},{peak},{digest},{info.encoding}"
        return f"{told},{to_text(fingerprint(audio, rate))}" if closely else told

    try:
        told = memory.recall(path, find_out) if memory else find_out()
        sound = _sound(told)
        return _sound(find_out()) if _lacks(sound, closely) else sound
    except FileNotFoundError:
        return DecodedClip("is missing.")
    except BadAudio as fault:
        return DecodedClip(fault.reason)


def _sound(told: str) -> DecodedClip:
    frames, peak, digest, encoding, *taken = told.split(",")
    return DecodedClip("", int(frames), float(peak), digest, encoding, *taken)


def _lacks(sound: DecodedClip, closely: bool) -> bool:
    """Return whether stored properties lack a needed fingerprint; `run` stores none."""
    return closely and sound.fingerprint is None
