"""Clips that hold one recording: what is tested may have been trained on.

The same samples are found by their hash. Copies that are not the same to the sample are found in
two steps, one quick and one sure: fingerprints choose each clip's nearest among the splits before
its own, and the two waveforms decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.check.finding import Finding, Pair, clips
from harness.check.fingerprint import from_text, nearest
from harness.check.labels import labels_of
from harness.check.likeness import SAME, likeness
from harness.check.sound import Progress, Sounds, in_threads
from harness.layout import Clip

CANDIDATE = 0.8
"""Fingerprints less similar than this are taken for different recordings, unheard.

Of copies made quieter, shifted by 20 ms, resampled, or coded as Vorbis, Opus or MP3 at usual rates,
nearly all lie above: ``tests/bench/near_duplicates.py`` counts them."""

Splits = Mapping[str, Sequence[Clip]]

_Place = tuple[str, str]  # split, clip


def check_copies(splits: Splits, sounds: Sounds) -> Iterator[Finding]:
    """The same samples in two splits; silence is no sound."""
    pairs = _across(splits, sounds)
    for split in sounds:
        yield from _finding(split, pairs[split], "the same samples as a clip of")


def check_copies_within(splits: Splits, sounds: Sounds) -> Iterator[Finding]:
    """The same samples twice in a split: no leak, but less material than the count says."""
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
    """One recording in two splits, though not the same samples.

    Args:
        directory: the task directory.
        rate: the rate of its audio that was heard.
        splits: the task's clips.
        sounds: what was heard, with fingerprints.
        progress: told of each pair compared.
    """
    copied = {(p.split, p.clip) for pairs in _across(splits, sounds).values() for p in pairs}
    candidates = _candidates(sounds, copied)
    folder = directory / str(rate)

    def judge(pair: tuple[_Place, _Place]) -> float:
        (split, clip), (other_split, other_clip) = pair
        return likeness(folder / split / clip, folder / other_split / other_clip)

    found: dict[str, list[Pair]] = defaultdict(list)
    labels = _labels(splits)
    for done, (pair, alike) in enumerate(zip(candidates, in_threads(judge, candidates)), 1):
        progress("comparing clips", done, len(candidates))
        if alike >= SAME:
            found[pair[0][0]].append(_pair(labels, *pair, alike))
    for split in sounds:
        yield from _finding(
            split, found[split], "no copy to the sample, but the same recording as a clip of"
        )


def _across(splits: Splits, sounds: Sounds) -> Mapping[str, Sequence[Pair]]:
    """Of each split the clips with the samples of a clip in an earlier split.

    Of several such clips, one that has other labels is named, for that is worse.
    """
    labels = _labels(splits)
    earlier: dict[str, dict[frozenset[str], _Place]] = defaultdict(dict)
    found: dict[str, list[Pair]] = defaultdict(list)
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


def _candidates(sounds: Sounds, copied: set[_Place]) -> list[tuple[_Place, _Place]]:
    """Each clip, and its nearest of all earlier splits, where their fingerprints are similar."""
    found: list[tuple[_Place, _Place]] = []
    earlier: list[_Place] = []
    prints = np.empty((0, 0), np.float32)
    for split, heard in sounds.items():
        taken = {
            (split, name): from_text(sound.fingerprint)
            for name, sound in heard.items()
            if sound.fingerprint
        }
        if not taken:
            continue
        own = np.stack(list(taken.values()))
        if earlier:
            rows, similarity = nearest(own, prints)
            found += [
                (place, earlier[row])
                for place, row, similar in zip(taken, rows, similarity, strict=True)
                if similar >= CANDIDATE and place not in copied
            ]
        prints = np.concatenate([prints, own]) if earlier else own
        earlier += taken
    return found


def _finding(split: str, pairs: Sequence[Pair], what: str) -> Iterator[Finding]:
    if not pairs:
        return
    places = dict.fromkeys(f"{pair.other_split}.json" for pair in pairs)
    first = pairs[0]
    text = f"{clips([pair.clip for pair in pairs])}: {what} {', '.join(places)}"
    text += f" (the first: '{first.other_clip}'"
    text += ")." if first.same_samples else f", likeness {first.likeness:.2f})."
    if others := [pair for pair in pairs if not pair.same_labels]:
        text += (
            f" The labels differ for {len(others)}, as '{others[0].clip}' and "
            f"'{others[0].other_clip}'."
        )
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
) -> Pair:
    """A pair of the likeness that was measured, or None for the same samples."""
    measured = 1.0 if alike is None else round(alike, 4)
    return Pair(*place, *other, measured, alike is None, labels[place] == labels[other])
