"""Few-shot probes: the training clips that a draw chooses from a fold.

A draw depends only on the names of the task, the fold and the clips, the number of shots and the
number of the draw. So it is the same for all models, protocols and machines.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

import numpy as np

from harness.core.hashing import sha256_of
from harness.embeddings.store import SplitEmbeddings
from tasks.format.task import Clip, Fold, Task

Chosen = Mapping[str, Sequence[int]]
"""The clips of each train split of a fold, as rising indices."""


def draw_clips(task: Task, fold: Fold, shots: int, draw: int) -> Chosen:
    """Choose training clips such that every label has at least ``shots`` of them.

    Labels take turns, the rarest first. A label that has too few chosen clips takes its next clip.
    Its clips are in random order, and its groups take turns too, so that its clips come from as
    many groups as possible. In a multiclass task each class gets exactly ``shots`` clips. A clip
    with several labels counts for each of them. A label of fewer clips gets all of them. The clips
    of fewer shots are among those of more shots, in the same draw.

    Args:
        task: the task; a clip of an event task has the labels of its events.
        fold: the fold.
        shots: clips of each label, at least 1.
        draw: number of the draw.
    """
    clips = [(split, i, clip) for split in fold.train for i, clip in enumerate(task.clips[split])]
    labels = [_labels(clip) for _, _, clip in clips]
    keys = [sha256_of([task.name, fold.name, draw, clip.name]) for _, _, clip in clips]
    counts = Counter(label for own in labels for label in own)
    of_label: dict[str, list[int]] = {label: [] for label in task.labels if counts[label]}
    for number in sorted(range(len(clips)), key=lambda number: keys[number]):
        for label in labels[number]:
            of_label[label].append(number)
    groups = [clip.group for _, _, clip in clips]
    queues = {
        label: _taking_turns(of_label[label], groups)
        for label in sorted(of_label, key=lambda label: counts[label])
    }
    chosen: set[int] = set()
    have: Counter[str] = Counter()
    for wanted in range(1, shots + 1):
        for label, queue in queues.items():
            if have[label] >= wanted:
                continue
            following = next((each for each in queue if each not in chosen), None)
            if following is not None:
                chosen.add(following)
                have.update(labels[following])
    found: dict[str, list[int]] = {split: [] for split in fold.train}
    for number in sorted(chosen):
        split, index, _ = clips[number]
        found[split].append(index)
    return found


def leaves_clips_out(task: Task, shots: int) -> bool:
    """Return whether a draw differs from the whole training split in every fold."""
    for fold in task.folds:
        n_clips = sum(len(task.clips[split]) for split in fold.train)
        if n_clips > shots * len(task.labels):
            continue  # no draw has so many
        if n_clips == sum(map(len, draw_clips(task, fold, shots, 0).values())):
            return False
    return True


def scarce_labels(task: Task, shots: int) -> dict[str, int]:
    """Return the labels with fewer training clips than ``shots`` in a fold, with the fewest."""
    found: dict[str, int] = {}
    for fold in task.folds:
        counts = Counter(
            label for split in fold.train for clip in task.clips[split] for label in _labels(clip)
        )
        for label in task.labels:
            if counts[label] < shots:
                found[label] = min(counts[label], found.get(label, shots))
    return found


def only_chosen(
    task: Task, fold: Fold, embeddings: Mapping[str, SplitEmbeddings], chosen: Chosen
) -> tuple[Task, Fold, dict[str, SplitEmbeddings]]:
    """Return a task, a fold and embeddings whose train splits have only the chosen clips.

    The chosen rows are copied to memory. Splits without any are left out of the fold.
    """
    train = tuple(split for split in fold.train if chosen[split])
    clips = {split: tuple(task.clips[split][i] for i in chosen[split]) for split in train}
    return (
        task.model_copy(update={"clips": {**task.clips, **clips}}),
        dataclasses.replace(fold, train=train),
        {**embeddings, **{split: _rows_of(embeddings[split], chosen[split]) for split in train}},
    )


def _labels(clip: Clip) -> set[str]:
    return {*clip.labels, *(event.label for event in clip.events)}


def _taking_turns(clips: Sequence[int], groups: Sequence[str]) -> Iterator[int]:
    """Yield clips such that their groups take turns; a clip without group is a group."""
    by_group: dict[str | int, list[int]] = {}
    for clip in clips:
        by_group.setdefault(groups[clip] or clip, []).append(clip)
    for turn in zip_longest(*by_group.values()):
        yield from (clip for clip in turn if clip is not None)


def _rows_of(split: SplitEmbeddings, clips: Sequence[int]) -> SplitEmbeddings:
    parts = [np.arange(split.offsets[clip], split.offsets[clip + 1]) for clip in clips]
    rows = np.concatenate(parts)
    offsets = np.cumsum([0, *map(len, parts)])
    return dataclasses.replace(
        split,
        clips=tuple(split.clips[clip] for clip in clips),
        embeddings=split.embeddings[rows],
        offsets=offsets,
        timestamps=None if split.timestamps is None else split.timestamps[rows],
    )
