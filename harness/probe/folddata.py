"""What a probe reads of one fold: embeddings as rows in memory, targets, and the order of rows.

A row is a clip's embedding, or that of one timestamp of a clip for an event task.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.kinds import EmbeddingType, PredictionType
from harness.embeddings.heareval import heareval_order
from harness.embeddings.store import SplitEmbeddings
from harness.metrics.events import frame_targets
from tasks.format.task import Fold, Task, multiclass_targets, multilabel_targets

_CHUNK_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class FoldData:
    """One fold of a task. Rows are read when they are first used, on the device that trains.

    Attributes:
        task, fold: the fold.
        embeddings: of its splits.
        device: as torch names it.
        orders: the order of each split's clips in train; None for theirs.
        standardise: whether columns get mean 0 and variance 1 by the train rows.
        train_targets: int64 (n,) classes, or float32 (n, C) multi-hot.
        valid_targets: the same, of the validation split.
    """

    task: Task
    fold: Fold
    embeddings: Mapping[str, SplitEmbeddings]
    device: str
    orders: Mapping[str, Sequence[int]] | None
    standardise: bool
    train_targets: Tensor
    valid_targets: np.ndarray

    @property
    def train(self) -> Tensor:
        """The rows of the train splits."""
        return self._train[0]

    @functools.cached_property
    def valid(self) -> Tensor:
        """The rows of the validation split."""
        return self.rows(self.fold.valid)

    def test(self) -> Tensor:
        """Read the test split's rows."""
        return self.rows(self.fold.test)

    def rows(self, split: str) -> Tensor:
        """Read the rows of a split."""
        rows = read_rows(self.task, [self.embeddings[split]])
        return _to_device(rows, *self._train[1:], self.device)

    @functools.cached_property
    def _train(self) -> tuple[Tensor, np.ndarray | None, np.ndarray | None]:
        """The rows of the train splits, and the mean and scale that standardise."""
        splits = [self.embeddings[split] for split in self.fold.train]
        rows = read_rows(self.task, splits, self.orders)
        mean, scale = standardiser(rows) if self.standardise else (None, None)
        return _to_device(rows, mean, scale, self.device), mean, scale


def read_fold(
    task: Task,
    fold: Fold,
    embeddings: Mapping[str, SplitEmbeddings],
    device: str,
    *,
    shuffle: bool,
    standardise: bool,
) -> FoldData:
    """Read a fold's targets and check its splits; rows are read when they are used.

    ``shuffle`` and ``standardise`` are those of :class:`harness.probe.protocol.Protocol`.

    Raises:
        UserError: an empty split, embeddings of other clips than the task's, clips whose labels
            cannot be used, or no event in all of train; when rows are read, NaN or infinite
            embeddings.
    """
    for split in (*fold.train, fold.valid, fold.test):
        _check_split(task, split, embeddings)
    orders = None if shuffle else heareval_order(task)
    targets = read_targets(task, [embeddings[split] for split in fold.train], orders)
    if task.embedding_type == EmbeddingType.EVENT and not targets.any():
        raise UserError(
            f"{task.name}: no timestamp of {', '.join(fold.train)} lies in an event, so there is "
            "nothing to learn. Are the events' times, and the model's timestamps, in milliseconds?"
        )
    return FoldData(
        task=task,
        fold=fold,
        embeddings=embeddings,
        device=device,
        orders=orders,
        standardise=standardise,
        train_targets=torch.from_numpy(targets).to(device),
        valid_targets=read_targets(task, [embeddings[fold.valid]]),
    )


def read_rows(
    task: Task,
    splits: Sequence[SplitEmbeddings],
    orders: Mapping[str, Sequence[int]] | None = None,
) -> np.ndarray:
    """Copy the embeddings of splits, one after the other, into one float32 array (rows, size).

    ``orders`` gives the order of each split's clips; the rows of a clip stay together, in order of
    time. Memory-mapped embeddings are read once and held once.
    """
    size = splits[0].embeddings.shape[1]
    rows = np.empty((sum(len(split.embeddings) for split in splits), size), dtype=np.float32)
    end = 0
    for split in splits:
        if orders is None:
            begin, end = end, end + len(split.embeddings)
            rows[begin:end] = split.embeddings
        else:
            for clip in orders[split.split]:
                part = split.embeddings[split.offsets[clip] : split.offsets[clip + 1]]
                begin, end = end, end + len(part)
                rows[begin:end] = part
    # A sum is finite unless a term is not, or float64 overflows: no array of flags is needed.
    if not np.isfinite(rows.sum(dtype=np.float64)):
        refuse_not_finite(task, splits)
    return rows


def read_targets(
    task: Task,
    splits: Sequence[SplitEmbeddings],
    orders: Mapping[str, Sequence[int]] | None = None,
) -> np.ndarray:
    """Return the targets of the rows of :func:`read_rows`.

    int64 (rows,) for a multiclass task, else float32 (rows, C) multi-hot.
    """
    parts = []
    for split in splits:
        clips = task.clips[split.split]
        order = orders[split.split] if orders else range(len(clips))
        if task.embedding_type == EmbeddingType.EVENT:
            parts += [_clip_targets(task, split, clip) for clip in order]
        elif task.prediction_type == PredictionType.MULTICLASS:
            parts.append(multiclass_targets(task, split.split)[list(order)])
        else:
            parts.append(multilabel_targets(task, split.split)[list(order)])
    return np.concatenate(parts)


def timestamps_of(split: SplitEmbeddings) -> np.ndarray:
    """Return the timestamps (rows,) in ms of an event split."""
    if split.timestamps is None:
        raise ValueError(f"the embeddings of split '{split.split}' have no timestamps")
    return split.timestamps


def standardiser(*arrays: np.ndarray, chunk: int = _CHUNK_ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column of all rows, float32 (size,).

    A column that never changes gets the deviation 1, so that it becomes 0 and not noise. Memory
    holds ``chunk`` rows of memory-mapped arrays.
    """
    parts = [rows[i : i + chunk] for rows in arrays for i in range(0, len(rows), chunk)]
    count = sum(map(len, arrays))
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / count
    square = sum(np.square(part - mean).sum(axis=0) for part in parts)
    scale = np.sqrt(square / count)
    lowest = np.min([part.min(axis=0) for part in parts], axis=0)
    highest = np.max([part.max(axis=0) for part in parts], axis=0)
    scale[(scale == 0) | (lowest == highest)] = 1.0
    return mean.astype(np.float32), scale.astype(np.float32)


def generator_seed(*names: object) -> int:
    """Return a seed (63 bits) that depends on the names alone: on no process, order or device."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _clip_targets(task: Task, split: SplitEmbeddings, clip: int) -> np.ndarray:
    times = timestamps_of(split)[split.offsets[clip] : split.offsets[clip + 1]]
    return frame_targets(times, task.clips[split.split][clip].events, task.labels)


def _to_device(
    rows: np.ndarray, mean: np.ndarray | None, scale: np.ndarray | None, device: str
) -> Tensor:
    if mean is not None and scale is not None:
        for i in range(0, len(rows), _CHUNK_ROWS):
            part = rows[i : i + _CHUNK_ROWS]
            part -= mean
            part /= scale
    return torch.from_numpy(rows).to(device)


def _check_split(task: Task, split: str, embeddings: Mapping[str, SplitEmbeddings]) -> None:
    names = tuple(clip.name for clip in task.clips[split])
    if not names:
        raise UserError(f"{task.name}: the split '{split}' has no clips, so no probe can use it.")
    if split not in embeddings:
        raise UserError(f"{task.name}: the split '{split}' has no embeddings.")
    if embeddings[split].clips != names:
        raise UserError(
            f"{task.name}: the embeddings of split '{split}' are of other clips than "
            f"{split}.json lists ({len(embeddings[split].clips)} and "
            f"{plural(len(names), 'clip')}). Embed the task again."
        )


def refuse_not_finite(task: Task, splits: Sequence[SplitEmbeddings]) -> None:
    """Refuse embeddings with NaN or infinite values; the first clip is named.

    Raises:
        UserError: there are some.
    """
    for split in splits:
        for clip, begin, end in zip(
            split.clips, split.offsets[:-1], split.offsets[1:], strict=True
        ):
            if not np.isfinite(split.embeddings[begin:end]).all():
                raise UserError(
                    f"{task.name}: the embedding of '{split.split}/{clip}' has NaN or infinite "
                    "values. The model that made it must not return them."
                )
