"""Predict how many bytes of disk the units of a run need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.core.kinds import EmbeddingType
from harness.probe import Protocol
from harness.probe.grid import grid_points
from tasks.format.task import Task

# Sizes that were measured on runs of the built-in tasks, in bytes.
_MANIFEST = 1_000.0  # manifest.json
_ARCHIVE = 800.0  # headers of an npz file with three or four arrays
_UNIT = 300.0  # unit.json without the curve of the training
_CURVE_ROW = 66.0  # a row of that curve
_ROW = 3_200.0  # a result row: in result.json and in results.csv
_RECORDS = 2_000.0  # evaluation.json and test.predicted-scores.json
_EVENT = 90.0  # an event in events.json or reference.json
_AUDIO_FACTS = 380.0  # a clip in checked-audio.json and in audio-hashes.json

_COMPRESSED = 0.9
"""Size of compressed probabilities, relative to float32."""


def rows_of(samples: Sequence[int], sample_rate: int, times: np.ndarray | None) -> int:
    """Return about how many timestamps a model gives to clips; 0 if this is not known.

    Args:
        samples: length of each clip at the model's sample rate.
        sample_rate: in Hz.
        times: ``(n, t)`` timestamps in ms that the model gave to another sound.
    """
    if times is None or times.shape[1] < 2:
        return 0
    hop = float(times[0, -1] - times[0, 0]) / (times.shape[1] - 1)
    lengths = np.asarray(samples) * (1000 / sample_rate)
    return int(np.maximum(1, np.rint(lengths / hop)).sum())


def embedding_bytes(names: Sequence[str], rows: int, width: int, dtype: str, *, event: bool) -> int:
    """Return the size of the embeddings of a split: of its rows, index and manifest."""
    index = len(names) * (4 * max(map(len, names), default=0) + 8) + (8 * rows if event else 0)
    return int(rows * width * np.dtype(dtype).itemsize + index + _ARCHIVE + _MANIFEST)


def audio_facts_bytes(clips: int) -> int:
    """Return the size of what a run's folder remembers about audio files."""
    return int(clips * _AUDIO_FACTS)


def evaluation_bytes(task: Task, protocol: Protocol, rows: Mapping[str, int], probes: int) -> int:
    """Return the size of the probes and of the result of one evaluation.

    Args:
        task: the task.
        protocol: the protocol.
        rows: number of embeddings of each split.
        probes: number of probes.
    """
    folds = task.folds
    scores = [4 * _COMPRESSED * rows[fold.test] * len(task.labels) for fold in folds]
    points = [dict(point) for point in grid_points(protocol, task)]
    curve = sum(map(protocol.classifier.usual_rows, points)) / len(points)
    unit = _UNIT + _CURVE_ROW * curve + _ARCHIVE / 3
    trained = probes * (sum(scores) / len(folds) + unit)
    predictions = sum(protocol.runs * each + _ARCHIVE for each in scores)
    predictions += 10 * sum(len(task.clips[fold.test]) for fold in folds)
    if task.embedding_type == EmbeddingType.EVENT:
        events = sum(len(clip.events) for fold in folds for clip in task.clips[fold.test])
        predictions += (1 + protocol.runs) * events * _EVENT + sum(8 * n for n in rows.values())
    values = len(task.evaluation) * (len(folds) + 1 if len(folds) > 1 else 1)
    return int(trained + predictions + values * _ROW + _RECORDS)
