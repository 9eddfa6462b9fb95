"""Find test clips of tasks in other recordings, for example in the audio that a model trained on.

A recording may be much longer than a clip. So the loudest part of each clip, of 0.25 to 4 s, is
compared with windows of the recordings, of the same length and an eighth of it apart. As for copies
within a task, fingerprints select candidates and waveforms decide.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hear_byola.core.audiofile import BadFile
from tasks.audio import BadAudio, nearest_rate, present_rates, read_audio
from tasks.check.duplicates import CANDIDATE, CANDIDATES
from tasks.check.fingerprint import SIZE, fingerprint
from tasks.check.likeness import SAME, waveform_likeness
from tasks.check.sound import Progress, in_threads
from tasks.format.directory import read_contents
from tasks.format.task import folds_of

RATE = 16_000
"""Sample rate in Hz at which clips and recordings are compared."""

LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Lengths of windows in seconds. A clip is searched for with the longest that it fills."""

_Queries = dict[float, tuple[list["ClipFile"], np.ndarray]]
"""For each length of windows, the clips and their fingerprints."""

_HOPS = 8  # windows in the length of one, so that a clip is at most a sixteenth off the nearest
_BLOCK_SECONDS = 60.0  # of a recording that are read at a time
_STEP = 160  # samples between two places that the loudest part of a clip can begin at


@dataclass(frozen=True)
class ClipFile:
    """A clip of a test split, and its file."""

    directory: Path
    split: str
    name: str
    path: Path


class OtherAudio(NamedTuple):
    """Audio in which clips are searched for.

    Attributes:
        name: for messages.
        samples: length at ``RATE``.
        read: takes first sample and count, and returns mono float32 (count,) at ``RATE``; raises
            ``BadFile`` or OSError.
    """

    name: str
    samples: int
    read: Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Contained:
    """A test clip that a recording contains.

    Attributes:
        clip: the clip.
        recording: index of the recording.
        seconds: where the compared window of the recording begins.
        likeness: of the waveforms, at most 1.
    """

    clip: ClipFile
    recording: int
    seconds: float
    likeness: float


def clips_of_tests(directory: Path) -> list[ClipFile]:
    """Return the clips of all test splits of a task directory that have a file.

    Faults of the directory are not reported: ``hear-byola tasks check`` does that.
    """
    contents = read_contents(directory, lambda file, reason: None)
    rates = present_rates(directory)
    if not rates or not {"split_mode", "splits"} <= contents.fields.keys():
        return []
    folder = directory / str(nearest_rate(rates, RATE))
    tests = {
        fold.test for fold in folds_of(contents.fields["split_mode"], contents.fields["splits"])
    }
    return [
        ClipFile(directory, split, clip.name, path)
        for split in sorted(tests & contents.clips.keys())
        for clip in contents.clips[split]
        if (path := folder / split / clip.name).is_file()
    ]


def find_contained(
    clips: Sequence[ClipFile],
    recordings: Sequence[OtherAudio],
    progress: Progress = lambda *_: None,
) -> list[Contained]:
    """Return the clips that recordings contain, with each such recording.

    The nearest five recordings of a clip are compared with it. If it has as many candidates and one
    of them is confirmed, twice as many of the other recordings are compared, and so on.

    Silent and unreadable clips, and recordings that cannot be decoded, are left out.

    Args:
        clips: test clips.
        recordings: the other audio.
        progress: receives the work, the number of items done, and their total number.
    """
    queries = _queries(clips, progress)
    kept: list[Contained] = []
    compared: set[tuple[ClipFile, int]] = set()
    size = CANDIDATES
    while queries:
        pairs = _nearest_pairs(queries, recordings, compared, size, progress)
        confirmed = _confirmed(pairs, recordings, progress)
        kept += confirmed
        compared |= {(pair.clip, pair.recording) for pair in pairs}
        counts = Counter(pair.clip for pair in pairs)
        again = {each.clip for each in confirmed if counts[each.clip] == size}
        queries = _only(queries, again)
        size *= 2
    return kept


class _Pair(NamedTuple):
    """A clip, the length of the compared window in seconds, a recording, the first sample."""

    clip: ClipFile
    length: float
    recording: int
    start: int


def _only(queries: _Queries, clips: Collection[ClipFile]) -> _Queries:
    """Return the queries of these clips."""
    rows = {
        length: [row for row, owner in enumerate(owners) if owner in clips]
        for length, (owners, _) in queries.items()
    }
    return {
        length: ([queries[length][0][row] for row in some], queries[length][1][some])
        for length, some in rows.items()
        if some
    }


def _nearest_pairs(
    queries: _Queries,
    recordings: Sequence[OtherAudio],
    compared: Collection[tuple[ClipFile, int]],
    size: int,
    progress: Progress,
) -> list[_Pair]:
    """Return at most ``size`` candidates of each clip, without pairs that were compared."""
    nearest = {length: _Nearest(len(prints), size) for length, (_, prints) in queries.items()}

    def windows(recording: OtherAudio) -> Mapping[float, tuple[np.ndarray, np.ndarray]]:
        try:
            return {length: _windows(recording, length) for length in queries}
        except (BadFile, OSError):
            return {}

    for index, found in enumerate(in_threads(windows, recordings)):
        for length, (starts, prints) in found.items():
            similarity = queries[length][1] @ prints.T
            known = [(owner, index) in compared for owner in queries[length][0]]
            similarity[known] = -1
            nearest[length].add(index, starts, similarity)
        progress("searching recordings", index + 1, len(recordings))
    return [
        _Pair(clip, length, recording, start)
        for length, (owners, _) in queries.items()
        for clip, recording, start in nearest[length].pairs(owners)
    ]


def _confirmed(
    pairs: Sequence[_Pair], recordings: Sequence[OtherAudio], progress: Progress
) -> list[Contained]:
    """Return the pairs whose waveforms are alike."""

    def judge(pair: _Pair) -> float:
        clip, length, recording, start = pair
        part = _loudest(read_audio(clip.path, RATE), length)
        whole = recordings[recording]
        count = min(round(length * RATE), whole.samples - start)
        try:
            return waveform_likeness(part, whole.read(start, count), RATE)
        except (BadFile, OSError):
            return 0.0

    kept = []
    for done, (pair, alike) in enumerate(zip(pairs, in_threads(judge, pairs)), 1):
        progress("comparing clips", done, len(pairs))
        if alike >= SAME:
            clip, _, recording, start = pair
            kept.append(Contained(clip, recording, start / RATE, round(alike, 4)))
    return kept


class _Nearest:
    """The most similar window of each of the most similar recordings, for each query."""

    def __init__(self, queries: int, size: int) -> None:
        self._similarity = np.full((queries, size), CANDIDATE, np.float32)
        self._recording = np.full((queries, size), -1, np.int64)
        self._start = np.zeros((queries, size), np.int64)

    def add(self, recording: int, starts: np.ndarray, similarity: np.ndarray) -> None:
        """Note the similarities (queries, windows) of a recording."""
        best = similarity.argmax(1)
        value = np.take_along_axis(similarity, best[:, None], 1)[:, 0]
        worst = self._similarity.argmin(1)
        rows = np.flatnonzero(value > np.take_along_axis(self._similarity, worst[:, None], 1)[:, 0])
        place = rows, worst[rows]
        self._similarity[place] = value[rows]
        self._recording[place] = recording
        self._start[place] = starts[best[rows]]

    def pairs(self, owners: Sequence[ClipFile]) -> Iterable[tuple[ClipFile, int, int]]:
        """Yield a clip, a recording, and the beginning of the window."""
        for row, column in np.argwhere(self._recording >= 0):
            yield owners[row], int(self._recording[row, column]), int(self._start[row, column])


def _queries(clips: Sequence[ClipFile], progress: Progress) -> _Queries:
    """Return, for each length of windows that is used, the clips and their fingerprints."""

    def take(clip: ClipFile) -> tuple[float, np.ndarray]:
        try:
            audio = read_audio(clip.path, RATE)
        except BadAudio:
            return LENGTHS[0], np.zeros(SIZE, np.float32)
        length = max((each for each in LENGTHS if each * RATE <= len(audio)), default=LENGTHS[0])
        return length, fingerprint(_loudest(audio, length), RATE)

    owners: dict[float, list[ClipFile]] = defaultdict(list)
    prints: dict[float, list[np.ndarray]] = defaultdict(list)
    for done, (clip, (length, taken)) in enumerate(zip(clips, in_threads(take, clips)), 1):
        progress("reading test clips", done, len(clips))
        if taken.any():
            owners[length].append(clip)
            prints[length].append(taken)
    return {length: (owners[length], np.stack(prints[length])) for length in owners}


def _windows(recording: OtherAudio, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the first samples of all windows, int64 (n,), and their fingerprints (n, SIZE)."""
    size = round(length * RATE)
    hop = size // _HOPS
    last = max(0, recording.samples - size)
    starts = np.unique([*range(0, last, hop), last])
    prints = np.empty((len(starts), SIZE), np.float32)
    block, begin = np.empty(0, np.float32), 0
    for row, start in enumerate(starts.tolist()):
        end = min(start + size, recording.samples)
        if end > begin + len(block):
            begin = start
            count = min(round(_BLOCK_SECONDS * RATE) + size, recording.samples - begin)
            block = recording.read(begin, count)
        prints[row] = fingerprint(block[start - begin : end - begin], RATE)
    return starts, prints


def _loudest(audio: np.ndarray, length: float) -> np.ndarray:
    """Return the part of this length in seconds with the most energy; all of a shorter sound."""
    size = round(length * RATE)
    if len(audio) <= size:
        return audio
    energy = np.concatenate([[0.0], np.cumsum(audio.astype(np.float64) ** 2)])
    starts = np.arange(0, len(audio) - size + 1, _STEP)
    begin = int(starts[(energy[starts + size] - energy[starts]).argmax()])
    return audio[begin : begin + size]
