"""Make tasks and embeddings in memory, without audio and files, for tests of probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.embeddings.store import SplitEmbeddings
from tasks.format.spec import EvaluationParams
from tasks.format.task import Clip, Event, Task

# Small enough that a whole grid point takes milliseconds.
QUICK = {
    "hidden_dim": (16,),
    "max_epochs": (30,),
    "lr": (3.2e-2, 1e-2),
    "batch_size": (64,),
}
FRAME_MS = 50.0


def make_task(clips: Mapping[str, Sequence[Clip]], labels: Sequence[str], **fields: Any) -> Task:
    """Return a task with the given splits; by default of multiclass scenes, scored by accuracy."""
    defaults: dict[str, Any] = {
        "task_name": "made",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest" if "train" in clips else "new_split_kfold",
        "evaluation": ("top1_acc", "mAP"),
    }
    grid = fields.pop("task_specific_param_grid", QUICK)
    return Task(
        directory=Path("made-v1-full"),
        version="v1",
        mode="full",
        splits=tuple(clips),
        sample_duration=1.0,
        labels=tuple(labels),
        clips={split: tuple(found) for split, found in clips.items()},
        evaluation_params=EvaluationParams.model_construct(task_specific_param_grid=grid),
        **{**defaults, **fields},
    )


def embed(task: Task, split: str, rows: np.ndarray, dtype: str = "float32") -> SplitEmbeddings:
    """Return the embeddings of a scene split."""
    names = tuple(clip.name for clip in task.clips[split])
    offsets = np.arange(len(names) + 1, dtype=np.int64)
    return SplitEmbeddings(split, names, rows.astype(dtype), offsets, None, {})


def class_task(
    classes_by_split: Mapping[str, Sequence[int]],
    n_classes: int = 3,
    size: int = 8,
    noise: float = 0.5,
    seed: int = 0,
    dtype: str = "float32",
    **fields: Any,
) -> tuple[Task, dict[str, SplitEmbeddings]]:
    """Return a task of the given classes, and embeddings: a class centre plus noise."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, size))
    labels = [f"class{i}" for i in range(n_classes)]
    clips = {
        split: [Clip(f"{split}-{i}.wav", (labels[c],)) for i, c in enumerate(classes)]
        for split, classes in classes_by_split.items()
    }
    task = make_task(clips, labels, **fields)
    embeddings = {}
    for split, classes in classes_by_split.items():
        index = np.asarray(classes, dtype=np.int64)
        rows = centres[index] + noise * rng.normal(size=(len(index), size))
        embeddings[split] = embed(task, split, rows, dtype)
    return task, embeddings


def balanced(n: int, n_classes: int = 3) -> list[int]:
    return [i % n_classes for i in range(n)]


def label_task(
    n: int = 60, size: int = 8, seed: int = 0, **fields: Any
) -> tuple[Task, dict[str, SplitEmbeddings]]:
    """Return a multilabel task; each of its 4 labels adds its own direction to the embedding."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(4, size))
    labels = [f"label{i}" for i in range(4)]
    on = {split: rng.random((n, 4)) < 0.4 for split in ("train", "valid", "test")}
    clips = {
        split: [
            Clip(f"{split}-{i}.wav", tuple(labels[c] for c in np.flatnonzero(row)))
            for i, row in enumerate(rows)
        ]
        for split, rows in on.items()
    }
    chosen = {"prediction_type": "multilabel", "evaluation": ("mAP", "aucroc"), **fields}
    task = make_task(clips, labels, **chosen)
    embeddings = {
        split: embed(task, split, rows @ directions + 0.3 * rng.normal(size=(n, size)))
        for split, rows in on.items()
    }
    return task, embeddings


def event_task(
    splits: Sequence[str] = ("train", "valid", "test"),
    n: int = 6,
    frames: int = 60,
    size: int = 8,
    noise: float = 0.3,
    seed: int = 0,
    **fields: Any,
) -> tuple[Task, dict[str, SplitEmbeddings]]:
    """Return an event task: ``frames`` timestamps 50 ms apart and two events per clip."""
    rng = np.random.default_rng(seed)
    directions = 2 * rng.normal(size=(2, size))
    labels = ("low", "high")
    clips: dict[str, list[Clip]] = {}
    rows: dict[str, list[np.ndarray]] = {}
    for split in splits:
        clips[split], rows[split] = [], []
        for i in range(n):
            frame = noise * rng.normal(size=(frames, size))
            events = []
            for k, label in enumerate(labels):
                begin = int(rng.integers(2, frames // 3)) + k * frames // 2
                end = begin + 10
                frame[begin : end + 1] += directions[k]
                events.append(Event(label, begin * FRAME_MS, end * FRAME_MS))
            clips[split].append(Clip(f"{split}-{i}.wav", events=tuple(events)))
            rows[split].append(frame)
    chosen = {
        "embedding_type": "event",
        "prediction_type": "multilabel",
        "evaluation": ("event_onset_200ms_fms", "segment_1s_er"),
        **fields,
    }
    task = make_task(clips, labels, **chosen)
    embeddings = {
        split: SplitEmbeddings(
            split,
            tuple(clip.name for clip in clips[split]),
            np.concatenate(rows[split]).astype(np.float32),
            np.arange(n + 1, dtype=np.int64) * frames,
            np.tile(np.arange(frames) * FRAME_MS, n),
            {},
        )
        for split in splits
    }
    return task, embeddings
