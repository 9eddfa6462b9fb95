"""What there is to crop from: every usable sound of a folder, a list or tar shards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hear_byola.errors import UserError
from hear_byola.pretraining.headers import FoundSound, read_headers
from hear_byola.pretraining.listing import Listing, kind_of, list_source
from hear_byola.pretraining.shards import open_member

_NAMED = 5  # reasons for skipping files that an error message names
_FILES = 3  # of each reason
_KINDS = np.iinfo(np.int16).max


@dataclass(frozen=True, eq=False)
class AudioCorpus:
    """Sounds as parallel numpy arrays of length n, so that millions take some 100 MB.

    Attributes:
        root: folder that the names are relative to.
        kinds: names of the kinds, sorted; one kind "" where nothing tells kinds apart.
        frames: int64 (n,), length in samples of one channel, at the sound's own rate.
        rate: int32 (n,), Hz, at least 16,000.
        kind: int16 (n,), index into `kinds`.
        weight: float32 (n,), at least 0: how often a sound is drawn, relative to its own kind.
        shard: int32 (n,), index into `shards`; -1 for a file of its own.
        offset, size: int64 (n,), where the bytes lie in the file, or shard.
        shards: names of the tar files.
        text, ends: names of the sounds, one after the other as UTF-8 bytes, uint8, and where
            each ends, int64 (n,). In a shard, the member's name.
        skipped: (name, reason) of what cannot be used.
    """

    root: Path
    kinds: tuple[str, ...]
    frames: np.ndarray
    rate: np.ndarray
    kind: np.ndarray
    weight: np.ndarray
    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    shards: tuple[str, ...]
    text: np.ndarray
    ends: np.ndarray
    skipped: tuple[tuple[str, str], ...] = field(default=())

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def seconds(self) -> float:
        """Length of all sounds."""
        return float(self.durations().sum())

    def durations(self) -> np.ndarray:
        """Length of each sound in seconds: float64 (n,)."""
        return self.frames / self.rate

    def hours_by_kind(self) -> dict[str, float]:
        """Hours of each kind."""
        hours = np.bincount(self.kind, self.durations(), len(self.kinds)) / 3600
        return dict(zip(self.kinds, hours.tolist()))

    def name(self, item: int) -> str:
        """The sound's name, relative to the root; "shard.tar/member" in a shard."""
        own = self._own_name(item)
        return own if self.shard[item] < 0 else f"{self.shards[self.shard[item]]}/{own}"

    def open(self, item: int) -> Path | BinaryIO:
        """The sound's path, or its bytes in a shard as a file, for the caller to close.

        Raises:
            OSError: the shard cannot be opened.
        """
        if self.shard[item] < 0:
            return self.root / self._own_name(item)
        path = self.root / self.shards[self.shard[item]]
        return open_member(path, int(self.offset[item]), int(self.size[item]))

    def _own_name(self, item: int) -> str:
        start = self.ends[item - 1] if item else 0
        return os.fsdecode(self.text[start : self.ends[item]].tobytes())

    @cached_property
    def sha256(self) -> str:
        """Hash of names, kinds, weights, sizes, lengths, rates and places in shards.

        Not of the samples: an hour of audio is told from another by its size and length alone.
        """
        digest = hashlib.sha256()
        for names in (self.kinds, self.shards):
            digest.update(b"\0".join([os.fsencode(name) for name in names]) + b"\0\0")
        facts = (self.frames, self.rate, self.kind, self.weight, self.shard, self.offset, self.size)
        for array in (self.text, self.ends, *facts):
            digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


def _no_progress(done: int, total: int, sounds: int) -> None:
    pass


def scan(
    source: Path,
    *,
    progress: Callable[[int, int, int], None] = _no_progress,
    memory: Path | None = None,
    workers: int = 8,
) -> AudioCorpus:
    """Find all sounds of a source and read their headers.

    Args:
        source: a folder (searched through and through for .wav, .flac, .ogg, .opus, .mp3, .aiff,
            .aif files and .tar shards of them; hidden files are left out); a .tar file; a .csv
            list with a column `path` and perhaps `kind` and `weight`; or any other text file: a
            list of one path a line. Paths in a list are relative to it. The kind of a sound is
            the first folder in its name where no column says it.
        progress: called with the number of files done, of all, and of sounds found.
        memory: a file that remembers headers by path, size, times and inode, so that a second
            start is quick; None reads all headers.
        workers: threads that read headers.

    Returns:
        The sounds, those of a folder sorted by name. Files that cannot be read, are empty, cut
        off, or of a rate below 16 kHz are in `skipped`.

    Raises:
        UserError: there is no such source, it names no audio, a list is malformed, or nothing
            in it can be used.
    """
    listing = list_source(source)
    paths = [listing.root / name for name in listing.names]
    contents = read_headers(paths, progress=progress, memory=memory, workers=workers)
    return _gather(source, listing, contents)


def _gather(source: Path, listing: Listing, contents: list[tuple[FoundSound, ...]]) -> AudioCorpus:
    shards: list[str] = []
    skipped: list[tuple[str, str]] = []
    names: list[str] = []
    kinds: list[str] = []
    rows: list[tuple[int, int, float, int, int, int]] = []
    for name, given, weight, sounds in zip(listing.names, listing.kinds, listing.weights, contents):
        if sounds[0].member:
            shards.append(name)
        for sound in sounds:
            if sound.reason:
                full = f"{name}/{sound.member}" if sound.member else name
                skipped.append((full, sound.reason))
                continue
            names.append(sound.member or name)
            kinds.append(kind_of(name, sound.member) if given is None else given)
            shard = len(shards) - 1 if sound.member else -1
            rows.append((sound.frames, sound.rate, weight, shard, sound.offset, sound.size))
    if not rows:
        raise UserError(_nothing_usable(source, skipped))
    found = sorted(set(kinds))
    if len(found) > _KINDS:
        raise UserError(f"{source} has {len(found):,} kinds of audio; at most {_KINDS:,}.")
    number = {kind: index for index, kind in enumerate(found)}
    frames, rate, weights, shard_of, offset, size = zip(*rows)
    text, ends = _joined(names)
    return AudioCorpus(
        root=listing.root,
        kinds=tuple(found),
        frames=np.array(frames, np.int64),
        rate=np.array(rate, np.int32),
        kind=np.array([number[kind] for kind in kinds], np.int16),
        weight=np.array(weights, np.float32),
        shard=np.array(shard_of, np.int32),
        offset=np.array(offset, np.int64),
        size=np.array(size, np.int64),
        shards=tuple(shards),
        text=text,
        ends=ends,
        skipped=tuple(skipped),
    )


def _joined(names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    encoded = [os.fsencode(name) for name in names]
    ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    return np.frombuffer(b"".join(encoded), np.uint8), ends


def _nothing_usable(source: Path, skipped: list[tuple[str, str]]) -> str:
    told = tell_skipped(skipped)
    more = "; and others" if len(told) > _NAMED else ""
    return f"{source} holds nothing to train on. Skipped: {'; '.join(told[:_NAMED])}{more}."


def tell_skipped(skipped: Iterable[tuple[str, str]]) -> list[str]:
    """Return each reason once, with the names of the first files that were skipped for it."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped:
        by_reason.setdefault(reason.rstrip("."), []).append(name)
    told = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _FILES} more" if len(names) > _FILES else ""
        told.append(f"{', '.join(names[:_FILES])}{more}: {reason}")
    return told
