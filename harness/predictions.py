"""Test predictions of an evaluation beside the truth, in memory and on disk.

What is written can be scored again without the task's directory.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UserError
from harness.files import write_file
from harness.probe import UnitResult
from harness.scoring import events
from harness.scoring.events import Postprocessing
from harness.store import SplitEmbeddings
from harness.task import Event, Task, multiclass_targets, multilabel_targets

Folds = Sequence[Sequence[UnitResult]]


@dataclass(frozen=True)
class FoldPredictions:
    """What the selected probes of one fold say of its test split.

    ``probabilities`` is (runs, rows, classes) float32; rows are clips, or timestamps for events,
    for which ``predicted`` holds, for each run, the events of each clip.
    """

    split: str
    clips: tuple[str, ...]
    probabilities: np.ndarray
    targets: np.ndarray
    offsets: np.ndarray
    timestamps: np.ndarray | None = None
    predicted: tuple[Mapping[str, Sequence[Event]], ...] = ()
    reference: Mapping[str, Sequence[Event]] | None = None


def gather(
    task: Task, embeddings: Mapping[str, SplitEmbeddings], results: Folds
) -> list[FoldPredictions]:
    """Put the selected units' predictions beside the truth, fold by fold."""
    return [
        _scene_fold(task, embeddings[fold.test], runs)
        if task.embedding_type == "scene"
        else _event_fold(task, embeddings[fold.test], runs)
        for fold, runs in zip(task.folds, results, strict=True)
    ]


def _scene_fold(
    task: Task, embedded: SplitEmbeddings, runs: Sequence[UnitResult]
) -> FoldPredictions:
    read = multiclass_targets if task.prediction_type == "multiclass" else multilabel_targets
    return FoldPredictions(
        embedded.split,
        embedded.clips,
        np.stack([run.probabilities for run in runs]),
        read(task, embedded.split),
        embedded.offsets,
    )


def _event_fold(
    task: Task, embedded: SplitEmbeddings, runs: Sequence[UnitResult]
) -> FoldPredictions:
    if embedded.timestamps is None:
        raise ValueError(f"{embedded.split}: embeddings of an event task without timestamps")
    reference = {clip.name: clip.events for clip in task.clips[embedded.split]}
    rows = [
        slice(int(a), int(b))
        for a, b in zip(embedded.offsets[:-1], embedded.offsets[1:], strict=True)
    ]
    predicted = []
    for run in runs:
        postprocessing = Postprocessing(**(run.postprocessing or {}))
        predicted.append(
            {
                name: events.frames_to_events(
                    run.probabilities[part], embedded.timestamps[part], task.labels, postprocessing
                )
                for name, part in zip(embedded.clips, rows, strict=True)
            }
        )
    targets = [
        events.frame_targets(embedded.timestamps[part], reference[name], task.labels)
        for name, part in zip(embedded.clips, rows, strict=True)
    ]
    return FoldPredictions(
        embedded.split,
        embedded.clips,
        np.stack([run.probabilities for run in runs]),
        np.concatenate(targets),
        embedded.offsets,
        embedded.timestamps,
        tuple(predicted),
        reference,
    )


def write_predictions(fold: FoldPredictions, directory: Path) -> None:
    """Write ``<split>.predictions.npz`` into a folder, and what an event fold adds to it.

    The npz holds ``clips`` (unicode), ``probabilities`` (runs, rows, classes), ``targets``,
    ``offsets`` (clips + 1: rows of clip i are offsets[i]:offsets[i + 1]) and for events
    ``timestamps`` in ms; no pickled object. ``<split>.events.json`` holds for each run, and
    ``<split>.reference.json`` of the truth, the events of each clip, in ms.
    """
    stream = io.BytesIO()
    arrays: dict[str, Any] = {
        "clips": np.array(fold.clips, dtype=np.str_),
        "probabilities": fold.probabilities.astype(np.float32),
        "targets": fold.targets,
        "offsets": fold.offsets,
    }
    if fold.timestamps is not None:
        arrays["timestamps"] = fold.timestamps
    np.savez_compressed(stream, **arrays)
    write_file(directory / f"{fold.split}.predictions.npz", stream.getvalue())
    if fold.reference is not None:
        runs = [_listed(run) for run in fold.predicted]
        write_file(directory / f"{fold.split}.events.json", json.dumps(runs) + "\n")
        truth = json.dumps(_listed(fold.reference))
        write_file(directory / f"{fold.split}.reference.json", truth + "\n")


def read_predictions(directory: Path, split: str) -> FoldPredictions:
    """Read what :func:`write_predictions` wrote of one test split.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = directory / f"{split}.predictions.npz"
    try:
        with np.load(path, allow_pickle=False) as saved:
            fold = FoldPredictions(
                split,
                tuple(saved["clips"].tolist()),
                saved["probabilities"],
                saved["targets"],
                saved["offsets"],
                saved.get("timestamps"),
            )
        if fold.timestamps is None:
            return fold
        path = directory / f"{split}.events.json"
        predicted = tuple(_events(run) for run in json.loads(path.read_text()))
        path = directory / f"{split}.reference.json"
        reference = _events(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: {error}. Delete its folder, and run again.") from error
    return replace(fold, predicted=predicted, reference=reference)


def _listed(clips: Mapping[str, Sequence[Event]]) -> dict[str, list[dict]]:
    return {name: [asdict(event) for event in found] for name, found in clips.items()}


def _events(listed: Mapping[str, Sequence[Mapping]]) -> dict[str, list[Event]]:
    return {name: [Event(**event) for event in found] for name, found in listed.items()}
