"""Read a HEAR task without its audio, and give its folds and the targets of its clips.

:mod:`tasks.format.directory` describes the directory and reads its files.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, SkipValidation

from harness.core.counts import first_of
from harness.core.errors import UserError, did_you_mean
from harness.core.hashing import content_sha256
from tasks.format.directory import read_contents
from tasks.format.files import METADATA, VOCABULARY
from tasks.format.spec import SplitMode, TaskSpec
from tasks.format.tables import Clip, Event

__all__ = [
    "SYNTHETIC",
    "UNLIKE_CARD",
    "Clip",
    "Event",
    "Fold",
    "Task",
    "TaskSource",
    "folds_of",
    "is_synthetic",
    "multiclass_targets",
    "multilabel_targets",
    "read_task",
    "short_names",
    "without_clips",
]

SYNTHETIC = "synthetic"
"""Mode and suite of tasks with generated sounds and known scores; the last part of their names."""

UNLIKE_CARD = "unlike_card"
"""Key of a metadata list with a sentence for each difference between the task and its card."""

_SHOWN = 10  # problems listed in one message


@dataclass(frozen=True)
class Fold:
    """The splits for training, validation and testing; ``name`` is the test split's name."""

    name: str
    train: tuple[str, ...]
    valid: str
    test: str


class Task(TaskSpec):
    """A task directory as read by :func:`read_task`.

    Attributes:
        directory: the directory that was read.
        clips: the clips of each split.
        metadata: the content of the metadata file, including keys that the harness does not read.
        digests: SHA-256 of each file that was read, by its name in the directory.
        skipped: names of the clips that :func:`without_clips` left out, by split.
        ungrouped: the first clip whose name does not match the group pattern; the task then has
            no groups.
    """

    directory: Path
    clips: SkipValidation[Mapping[str, tuple[Clip, ...]]]
    metadata: SkipValidation[Mapping[str, object]] = Field(default={}, repr=False)
    digests: Mapping[str, str] = Field(default={}, repr=False)
    skipped: Mapping[str, tuple[str, ...]] = {}
    ungrouped: str = ""

    @property
    def event_postprocessing_grid(self) -> Mapping[str, tuple[float, ...]] | None:
        """The task's own settings of event post-processing; None for HEAR's."""
        grid = self.evaluation_params and self.evaluation_params.event_postprocessing_grid
        return {name: values for name, values in grid if values} if grid else None

    @property
    def task_specific_param_grid(self) -> Mapping[str, tuple[Any, ...]]:
        """The task's own values of hyperparameters."""
        return (self.evaluation_params and self.evaluation_params.task_specific_param_grid) or {}

    @property
    def primary_metric(self) -> str:
        """The first metric of the metadata: the task's score."""
        return self.evaluation[0]

    @property
    def unlike_card(self) -> tuple[str, ...]:
        """A sentence for each difference between the task and its card."""
        found = self.metadata.get(UNLIKE_CARD)
        return tuple(map(str, found)) if isinstance(found, list) else ()

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The folds, in the order of ``splits`` (:func:`folds_of`)."""
        return folds_of(self.split_mode, self.splits)

    @property
    def has_groups(self) -> bool:
        """Whether the clips have groups: either all clips have one or none."""
        return any(clip.group for clips in self.clips.values() for clip in clips)

    @property
    def sha256(self) -> str:
        """Hash of the metadata, the vocabulary, the splits without left-out clips, and groups."""
        parts = [self.tables_sha256, *filter(None, [self.groups_sha256])]
        return parts[0] if len(parts) == 1 else _hash(parts)

    @property
    def tables_sha256(self) -> str:
        """Hash as :attr:`sha256`, but without groups; embeddings and probes depend on it."""
        parts = [self.digests[METADATA], self.digests[VOCABULARY]]
        return _hash(parts + [self.split_sha256(split) for split in self.splits])

    @property
    def groups_sha256(self) -> str:
        """Hash of the group of every clip, from a file or a pattern; "" without groups."""
        if not self.has_groups:
            return ""
        clips = (clip for split in self.splits for clip in self.clips[split])
        return _hash(sorted({json.dumps([clip.name, clip.group]) for clip in clips}))

    def split_sha256(self, split: str) -> str:
        """Return the hash of a split's file and of the names of the clips left out of it."""
        digest = self.digests[f"{split}.json"]
        left_out = self.skipped.get(split, ())
        if not left_out:
            return digest
        return _hash((digest, *sorted(left_out)))


def _hash(parts: Iterable[str]) -> str:
    return content_sha256("\n".join(parts))


def is_synthetic(name: str) -> bool:
    """Return whether a task named ``{task_name}-{version}-{mode}`` is synthetic."""
    return name.rpartition("-")[2] == SYNTHETIC


def folds_of(split_mode: SplitMode, splits: Sequence[str]) -> tuple[Fold, ...]:
    """Return the folds of a task: one for train/valid/test, k for k splits.

    Fold i tests on split i, validates on split i + 1 (cyclic) and trains on the other splits. The
    splits are in alphabetical order, whatever their order in the metadata (HEAR's protocol).
    """
    if split_mode == SplitMode.TRAINVALTEST:
        return (Fold("test", ("train",), "valid", "test"),)
    folds, splits = [], sorted(splits)
    for i, test in enumerate(splits):
        valid = splits[(i + 1) % len(splits)]
        train = tuple(split for split in splits if split not in (test, valid))
        folds.append(Fold(test, train, valid, test))
    return tuple(folds)


def read_task(directory: Path, group_pattern: str = "") -> Task:
    """Read a task directory's metadata, vocabulary, split files and groups (no audio).

    Args:
        directory: the task directory.
        group_pattern: derives groups from the names of clips if the directory has no
            ``groups.csv`` (:func:`tasks.format.groups.derive_groups`); "" for no groups.

    Raises:
        UserError: a file or a field is invalid; the message names each. Values that can be read
            but are wrong (a label outside the vocabulary, an event that ends before it starts)
            are left to :func:`tasks.check.check_task`.
    """
    problems: list[str] = []
    contents = read_contents(
        directory,
        lambda file, reason: problems.append(f"{file or directory}: {reason}"),
        group_pattern,
    )
    if problems:
        first = f"The task directory {directory} cannot be read:"
        raise UserError("\n  ".join([first, *first_of(problems, _SHOWN)]))
    return Task(
        directory=directory,
        labels=contents.labels,
        clips=contents.clips,
        ungrouped=contents.ungrouped,
        metadata=contents.metadata,
        digests=contents.digests,
        **contents.fields,
    )


def multiclass_targets(task: Task, split: str) -> np.ndarray:
    """Return the class index of each clip of a split, in clip order: int64 (n,).

    Raises:
        UserError: a clip does not have exactly one label, or its label is not in the vocabulary.
    """
    for clip in task.clips[split]:
        if len(clip.labels) != 1:
            raise UserError(
                f"{task.name}, {split}.json: clip '{clip.name}' has {len(clip.labels)} labels; "
                "a multiclass task needs exactly one."
            )
    return np.array([row[0] for row in _label_indices(task, split)], dtype=np.int64)


def multilabel_targets(task: Task, split: str) -> np.ndarray:
    """Return the labels of each clip of a scene split as multi-hot rows: float32 (n, classes).

    Raises:
        UserError: a label of a clip is not in the vocabulary.
    """
    targets = np.zeros((len(task.clips[split]), len(task.labels)), dtype=np.float32)
    for row, indices in enumerate(_label_indices(task, split)):
        targets[row, indices] = 1.0
    return targets


def without_clips(task: Task, names: Mapping[str, Collection[str]]) -> Task:
    """Return the task without the named clips (split -> clip names); its hashes differ."""
    clips, skipped = dict(task.clips), dict(task.skipped)
    for split, left_out in names.items():
        wanted = set(left_out)
        gone = tuple(clip.name for clip in clips[split] if clip.name in wanted)
        if gone:
            clips[split] = tuple(clip for clip in clips[split] if clip.name not in wanted)
            skipped[split] = (*skipped.get(split, ()), *gone)
    return task.model_copy(update={"clips": clips, "skipped": skipped})


def _label_indices(task: Task, split: str) -> list[list[int]]:
    index = {label: i for i, label in enumerate(task.labels)}
    rows = []
    for clip in task.clips[split]:
        for label in clip.labels:
            if label not in index:
                raise UserError(
                    f"{task.name}, {split}.json: the label '{label}' of clip '{clip.name}' is not "
                    f"in {VOCABULARY}.{did_you_mean(label, task.labels)}"
                )
        rows.append([index[label] for label in clip.labels])
    return rows


@dataclass(frozen=True)
class TaskSource:
    """A task directory to be read, and the clips that are left out.

    ``group_pattern`` is the one of the task's card, for a directory without ``groups.csv``.
    """

    directory: Path
    suite: str = ""
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    group_pattern: str = ""

    def read(self) -> Task:
        """Return the task without the clips that are left out."""
        task = read_task(self.directory, self.group_pattern)
        return without_clips(task, self.skipped) if any(self.skipped.values()) else task


def short_names(tasks: Iterable[str]) -> list[str]:
    """Return the ``task_name`` of each task, or its full name if that is ambiguous.

    Names of synthetic tasks are marked as such.
    """
    tasks = list(tasks)
    short = [task.rsplit("-", 2)[0] for task in tasks]
    names = [name if short.count(name) == 1 else task for name, task in zip(short, tasks)]
    return [
        f"{name} ({SYNTHETIC})" if is_synthetic(task) else name for name, task in zip(names, tasks)
    ]
