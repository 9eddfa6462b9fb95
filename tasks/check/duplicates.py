"""Find clips of the same recording in several splits, which leaks training data into the test.

Copies with equal samples are found by their hash. Changed copies are found in two steps:
fingerprints select a few candidates for each clip from earlier splits, and the waveforms decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks.check.finding import AlikeClips, Finding, clips
from tasks.check.fingerprint import SIZE, from_text, nearest
from tasks.check.likeness import SAME, likeness
from tasks.check.sound import Progress, Sounds, in_threads
from tasks.format.tables import Clip, labels_of

CANDIDATE = 0.6
"""Minimum similarity of two fingerprints for their waveforms to be compared."""

CANDIDATES = 5
"""Maximum number of clips that are compared with a clip.

``tests/bench/near_duplicates.py`` measures how many copies are missed with these two limits."""

Splits = Mapping[str, Sequence[Clip]]

_Place = tuple[str, str]  # split, clip


def check_copies(splits: Splits, sounds: Sounds) -> Iterator[Finding]:
    """Yield a finding for each split with a clip whose samples an earlier split has too.

    Silent clips are ignored.
    """
    pairs = _across(splits, sounds)
    for split in sounds:
        yield from _finding(split, pairs[split], "the same samples as a clip of")


def check_copies_within(splits: Splits, sounds: Sounds) -> Iterator[Finding]:
    """Yield a finding for each split that has the same samples twice.

    This is no leak, but there are fewer different clips than the count of clips.
    """
    labels = _labels(splits)
    for split, heard in sounds.items():
        first: dict[str, str] = {}
        pairs = []
        for name, sound in heard.items():
            if sound.digest and first.setdefault(sound.digest, name) != name:
                pairs.append(_pair(labels, (split, name), (split, first[sound.digest])))
        yield from _finding(split, pairs, "the same samples as another clip of")


def check_near_copies(
    directory: Path, rate: int, splits: Splits, sounds: Sounds, progress: Progress
) -> Iterator[Finding]:
    """Yield a finding for each split with a changed copy of a clip in an earlier split.

    Args:
        directory: the task directory.
        rate: sample rate in Hz of the decoded audio.
        splits: the task's clips.
        sounds: the decoded clips, with fingerprints.
        progress: called for each pair compared.
    """
    candidates = _candidates(sounds)
    folder = directory / str(rate)

    def judge(pair: tuple[_Place, _Place]) -> float:
        (split, clip), (other_split, other_clip) = pair
        return likeness(folder / split / clip, folder / other_split / other_clip)

    found: dict[str, list[AlikeClips]] = defaultdict(list)
    labels = _labels(splits)
    for done, (pair, alike) in enumerate(zip(candidates, in_threads(judge, candidates)), 1):
        progress("comparing clips", done, len(candidates))
        if alike >= SAME:
            found[pair[0][0]].append(_pair(labels, *pair, alike))
    for split in sounds:
        yield from _finding(
            split, found[split], "different samples, but the same recording as a clip of"
        )


def _across(splits: Splits, sounds: Sounds) -> Mapping[str, Sequence[AlikeClips]]:
    """Return, for each split, the clips with the samples of a clip in an earlier split.

    If several earlier clips have these samples, one with different labels is preferred, because
    that is the worse fault.
    """
    digests = [{sound.digest for sound in heard.values()} - {""} for heard in sounds.values()]
    if len(set().union(*digests)) == sum(map(len, digests)):
        return dict.fromkeys(sounds, ())
    labels = _labels(splits)
    earlier: dict[str, dict[frozenset[str], _Place]] = defaultdict(dict)
    found: dict[str, list[AlikeClips]] = defaultdict(list)
    for split, heard in sounds.items():
        places = [((split, name), sound.digest) for name, sound in heard.items() if sound.digest]
        for place, digest in places:
            if others := earlier.get(digest):
                unlike = [other for own, other in others.items() if own != labels[place]]
                other = unlike[0] if unlike else others[labels[place]]
                found[split].append(_pair(labels, place, other))
        for place, digest in places:
            earlier[digest].setdefault(labels[place], place)
    return found


def _candidates(sounds: Sounds) -> list[tuple[_Place, _Place]]:
    """Return pairs of a clip and a clip of an earlier split whose fingerprints are similar.

    If several earlier clips have the same samples, only the first is used. An earlier clip with the
    samples of the clip itself is not a candidate.
    """
    found: list[tuple[_Place, _Place]] = []
    earlier: dict[str, _Place] = {}
    prints = np.empty((0, SIZE), np.float32)
    for split, heard in sounds.items():
        own: dict[str, list[_Place]] = defaultdict(list)
        taken = []
        for name, sound in heard.items():
            if sound.fingerprint and sound.digest not in earlier:
                if sound.digest not in own:
                    taken.append(from_text(sound.fingerprint))
                own[sound.digest].append((split, name))
        if not own:
            continue
        if earlier:
            others = list(earlier.values())
            near = zip(own.values(), *nearest(np.stack(taken), prints, CANDIDATES), strict=True)
            for places, rows, similar in near:
                kept = rows[similar >= CANDIDATE]
                found += [(place, others[row]) for place in places for row in kept]
        prints = np.concatenate([prints, np.stack(taken)])
        earlier |= {digest: places[0] for digest, places in own.items()}
    return found


def _finding(split: str, pairs: Sequence[AlikeClips], what: str) -> Iterator[Finding]:
    if not pairs:
        return
    places = dict.fromkeys(f"{pair.other_split}.json" for pair in pairs)
    first = pairs[0]
    text = f"{clips(list(dict.fromkeys(pair.clip for pair in pairs)))}: {what} {', '.join(places)}"
    text += f" (the first: '{first.other_clip}'"
    text += ")." if first.same_samples else f", likeness {first.likeness:.2f})."
    if unlike := {pair.clip: pair for pair in reversed(pairs) if not pair.same_labels}:
        *_, pair = unlike.values()
        example = f"'{pair.clip}' and '{pair.other_clip}'"
        text += f" The labels differ for {len(unlike)}, for example {example}."
    yield Finding("warning", f"{split}.json", text, pairs=tuple(pairs))


def _labels(splits: Splits) -> Mapping[_Place, frozenset[str]]:
    return {
        (split, clip.name): frozenset(labels_of(clip))
        for split, listed in splits.items()
        for clip in listed
    }


def _pair(
    labels: Mapping[_Place, frozenset[str]],
    place: _Place,
    other: _Place,
    alike: float | None = None,
) -> AlikeClips:
    """Return a pair with its measured likeness; ``alike`` is None for equal samples."""
    measured = 1.0 if alike is None else round(alike, 4)
    return AlikeClips(*place, *other, measured, alike is None, labels[place] == labels[other])
