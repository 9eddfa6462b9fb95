"""The corpus of a run: every usable sound of a folder, a list or tar shards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hear_byola.core.errors import UserError
from hear_byola.pretraining.headers import FoundSound, read_headers
from hear_byola.pretraining.listing import Listing, kind_of, list_source
from hear_byola.pretraining.shards import open_member

_NAMED = 5  # reasons for skipping files that an error lists
_FILES = 3  # files listed for each reason
_KINDS = np.iinfo(np.int16).max


@dataclass(frozen=True, eq=False)
class AudioCorpus:
    """Sounds as parallel arrays of length n; a million sounds take about 100 MB.

    Attributes:
        root: folder that the names are relative to.
        kinds: names of the kinds, sorted; [""] if there are no kinds.
        frames: int64 (n,), length in samples of one channel, at the sound's own rate.
        rate: int32 (n,), Hz, at least 16,000.
        kind: int16 (n,), index into `kinds`.
        weight: float32 (n,), at least 0: frequency of a sound relative to others of its kind.
        shard: int32 (n,), index into `shards`; -1 for a sound in its own file.
        offset, size: int64 (n,), the sound's bytes in the file or shard.
        shards: names of the tar files.
        text, ends: concatenated UTF-8 names of the sounds, uint8, and the end of each, int64 (n,).
            In a shard, the name of the member.
        skipped: (name, reason) of each sound that cannot be used.
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
        """Total length in seconds."""
        return float(self.durations().sum())

    def durations(self) -> np.ndarray:
        """Return the length of each sound in seconds: float64 (n,)."""
        return self.frames / self.rate

    def hours_by_kind(self) -> dict[str, float]:
        """Return the hours of each kind."""
        hours = np.bincount(self.kind, self.durations(), len(self.kinds)) / 3600
        return dict(zip(self.kinds, hours.tolist()))

    def name(self, item: int) -> str:
        """Return the sound's name relative to the root; "shard.tar/member" in a shard."""
        own = self._own_name(item)
        return own if self.shard[item] < 0 else f"{self.shards[self.shard[item]]}/{own}"

    def open(self, item: int) -> Path | BinaryIO:
        """Return the sound's path, or its bytes in a shard as a file that the caller closes.

        Raises:
            OSError: the shard cannot be opened.
        """
        if self.shard[item] < 0:
            return self.root / self._own_name(item)
        path = self.root / self.shards[self.shard[item]]
        return open_member(path, int(self.offset[item]), int(self.size[item]))

    def without(self, reasons: Mapping[int, str]) -> AudioCorpus:
        """Return the corpus without some sounds, which are then in ``skipped``.

        Args:
            reasons: index of a sound: why it is left out, as a predicate.

        Raises:
            UserError: no sound is left.
        """
        kept = np.setdiff1d(np.arange(len(self)), list(reasons))
        if not len(kept):
            raise UserError(f"{self.root}: every sound is left out, for example {self.name(0)}.")
        used, kind = np.unique(self.kind[kept], return_inverse=True)
        text, ends = _joined(self._own_name(item) for item in kept.tolist())
        facts = ("frames", "rate", "weight", "shard", "offset", "size")
        left_out = tuple((self.name(item), reason) for item, reason in sorted(reasons.items()))
        return replace(
            self,
            kinds=tuple(self.kinds[index] for index in used),
            kind=kind.astype(np.int16),
            text=text,
            ends=ends,
            skipped=self.skipped + left_out,
            **{name: getattr(self, name)[kept] for name in facts},
        )

    def _own_name(self, item: int) -> str:
        start = self.ends[item - 1] if item else 0
        return os.fsdecode(self.text[start : self.ends[item]].tobytes())

    @cached_property
    def sha256(self) -> str:
        """Hash of names, kinds, weights, sizes, lengths, rates and offsets in shards.

        The samples are not hashed, so a changed file of equal size and length is not detected.
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
        source: a folder (searched recursively for .wav, .flac, .ogg, .opus, .mp3, .aiff, .aif
            files and .tar shards of them, without hidden files); a .tar file; a .csv list with the
            column `path` and optionally `kind` and `weight`; or a text file with one path a line.
            Paths in a list are relative to it. Without a column `kind`, the kind of a sound is
            the first folder in its name.
        progress: called with the number of files done, of all files, and of sounds found.
        memory: file that remembers headers by path, size, times and inode; None reads all headers.
        workers: threads that read headers.

    Returns:
        The sounds; those of a folder are sorted by name. `skipped` has the files that cannot be
        read, are empty, truncated, or of a rate below 16 kHz.

    Raises:
        UserError: the source is missing, contains no usable audio, or is a malformed list.
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
    return f"{source} contains no usable audio. Skipped: {'; '.join(told[:_NAMED])}{more}."


def tell_skipped(skipped: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each reason, with the first files that were skipped for it."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped:
        by_reason.setdefault(reason.rstrip("."), []).append(name)
    told = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _FILES} more" if len(names) > _FILES else ""
        subject = "it" if len(names) == 1 else "each"
        told.append(f"{', '.join(names[:_FILES])}{more}: {subject} {reason}")
    return told
