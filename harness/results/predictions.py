"""Test predictions of an evaluation with the true labels, in memory and on disk.

The files can be scored again without the task's directory.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.arrays import read_arrays
from harness.core.errors import UserError, is_damage, printable, text_of
from harness.core.files import write_file
from harness.core.kinds import EmbeddingType, PredictionType
from harness.embeddings.store import SplitEmbeddings
from harness.metrics import events
from harness.metrics.events import Postprocessing
from harness.probe import UnitResult
from harness.probe.units import RANKINGS, rankings
from hear_byola.core import jsontext
from tasks.format.spec import is_plain_name
from tasks.format.tables import check_clip_name, parse_event
from tasks.format.task import Event, Task, multiclass_targets, multilabel_targets

Folds = Sequence[Sequence[UnitResult]]


@dataclass(frozen=True)
class FoldPredictions:
    """The predictions of the selected probes of one fold on its test split.

    Attributes:
        split: the test split.
        clips: clip names.
        probabilities: float32 (runs, rows, classes); rows are clips, or timestamps for events.
        targets: class indices (rows,), or multi-hot (rows, classes).
        offsets: (clips + 1,); clip i has the rows offsets[i]:offsets[i + 1].
        timestamps: (rows,) in ms, for events.
        predicted: for events, of each run the events of each clip.
        reference: for events, the true events of each clip.
        groups: the group of each clip; None in a task without groups.
        average_precision: of the rankings of retrieval, float32 (runs, rows, classes), NaN where it
            is undefined; None for probes that do not rank.
        precision_at_1: of the same rankings.
    """

    split: str
    clips: tuple[str, ...]
    probabilities: np.ndarray
    targets: np.ndarray
    offsets: np.ndarray
    timestamps: np.ndarray | None = None
    predicted: tuple[Mapping[str, Sequence[Event]], ...] = ()
    reference: Mapping[str, Sequence[Event]] | None = None
    groups: tuple[str, ...] | None = None
    average_precision: np.ndarray | None = None
    precision_at_1: np.ndarray | None = None


def gather(
    task: Task, embeddings: Mapping[str, SplitEmbeddings], results: Folds
) -> list[FoldPredictions]:
    """Return the selected units' predictions with the true labels, for each fold."""
    fold_of = _scene_fold if task.embedding_type == EmbeddingType.SCENE else _event_fold
    return [
        replace(fold_of(task, embeddings[fold.test], runs), groups=_groups(task, fold.test))
        for fold, runs in zip(task.folds, results, strict=True)
    ]


def _groups(task: Task, split: str) -> tuple[str, ...] | None:
    return tuple(clip.group for clip in task.clips[split]) if task.has_groups else None


def _scene_fold(
    task: Task, embedded: SplitEmbeddings, runs: Sequence[UnitResult]
) -> FoldPredictions:
    multiclass = task.prediction_type == PredictionType.MULTICLASS
    read = multiclass_targets if multiclass else multilabel_targets
    return FoldPredictions(
        embedded.split,
        embedded.clips,
        np.stack([run.probabilities for run in runs]),
        read(task, embedded.split),
        embedded.offsets,
        average_precision=_of_runs([run.average_precision for run in runs]),
        precision_at_1=_of_runs([run.precision_at_1 for run in runs]),
    )


def _of_runs(rankings: Sequence[np.ndarray | None]) -> np.ndarray | None:
    found = [of_run for of_run in rankings if of_run is not None]
    return np.stack(found) if found else None


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
        split=embedded.split,
        clips=embedded.clips,
        probabilities=np.stack([run.probabilities for run in runs]),
        targets=np.concatenate(targets),
        offsets=embedded.offsets,
        timestamps=embedded.timestamps,
        predicted=tuple(predicted),
        reference=reference,
    )


def write_predictions(fold: FoldPredictions, directory: Path) -> None:
    """Write the files of a fold's predictions into a folder.

    ``<split>.predictions.npz`` contains the arrays of :class:`FoldPredictions`: ``clips``
    (unicode), ``probabilities``, ``targets`` and ``offsets``; for events ``timestamps``; for
    rankings ``average_precision`` and ``precision_at_1``; with groups ``groups`` (unicode, one per
    clip). It contains no pickled object. For events, ``<split>.events.json`` contains each run's
    events of each clip in ms, and ``<split>.reference.json`` the true ones.
    """
    stream = io.BytesIO()
    arrays: dict[str, Any] = {
        "clips": np.array(fold.clips, dtype=np.str_),
        "probabilities": fold.probabilities.astype(np.float32),
        "targets": fold.targets,
        "offsets": fold.offsets,
    }
    for name in RANKINGS:
        if getattr(fold, name) is not None:
            arrays[name] = getattr(fold, name)
    if fold.timestamps is not None:
        arrays["timestamps"] = fold.timestamps
    if fold.groups is not None:
        arrays["groups"] = np.array(fold.groups, dtype=np.str_)
    np.savez_compressed(stream, **arrays)
    write_file(directory / f"{fold.split}.predictions.npz", stream.getvalue())
    if fold.reference is not None:
        runs = [_listed(run) for run in fold.predicted]
        write_file(directory / f"{fold.split}.events.json", json.dumps(runs) + "\n")
        truth = json.dumps(_listed(fold.reference))
        write_file(directory / f"{fold.split}.reference.json", truth + "\n")


def read_predictions(directory: Path, split: str) -> FoldPredictions:
    """Read the files of :func:`write_predictions` for one test split.

    Raises:
        UserError: a file is missing or damaged.
    """
    path = directory / f"{split}.predictions.npz"
    try:
        if not is_plain_name(split):
            raise ValueError(f"the split {split!r} is not a plain name")
        fold = _fold(split, read_arrays(path))
        if fold.timestamps is None:
            return fold
        path = directory / f"{split}.events.json"
        runs = jsontext.load(path.read_bytes())
        if not isinstance(runs, list) or len(runs) != len(fold.probabilities):
            raise ValueError("its number of runs differs from that of the predictions")
        predicted = tuple(_events(run, fold.clips) for run in runs)
        path = directory / f"{split}.reference.json"
        reference = _events(jsontext.load(path.read_bytes()), fold.clips)
    except KeyError as error:
        raise UserError(f"{path} lacks {error}. {_CURE}") from error
    except Exception as error:  # damaged files raise all kinds
        if not is_damage(error):
            raise
        why = printable(str(error)).rstrip(".") or text_of(error)
        raise UserError(f"{path}: {why}. {_CURE}") from error
    return replace(fold, predicted=predicted, reference=reference)


_CURE = "Delete its folder, and run again."
_LATEST_MS = 86_400_000.0  # a day: error rates count segments up to the last event


def _fold(split: str, arrays: Mapping[str, np.ndarray]) -> FoldPredictions:
    """Return the predictions made of the arrays of one test split.

    Raises:
        KeyError: an array is missing.
        ValueError: the arrays do not match; the message is a clause that follows the file's name.
    """
    clips, probabilities = arrays["clips"], arrays["probabilities"]
    targets, offsets = arrays["targets"], arrays["offsets"]
    timestamps = arrays.get("timestamps")
    if clips.ndim != 1 or clips.dtype.kind != "U" or not len(clips):
        raise ValueError("clips is not a list of names")
    names = tuple(clips.tolist())
    for name in names:
        check_clip_name(name)
    if len(set(names)) < len(names):
        raise ValueError("clips contains a name twice")
    if probabilities.ndim != 3 or probabilities.dtype.kind != "f" or not probabilities.size:
        raise ValueError("probabilities are not numbers (runs, rows, classes)")
    if not np.isfinite(probabilities).all():
        raise ValueError("some probabilities are not finite")
    _, rows, classes = probabilities.shape
    if targets.ndim not in (1, 2) or targets.shape != (rows, classes)[: targets.ndim]:
        raise ValueError(f"targets are not of {rows} rows and {classes} classes")
    highest = classes if targets.ndim == 1 else 2
    if targets.dtype.kind not in ("iu" if targets.ndim == 1 else "fiub") or not (
        np.isin(targets, np.arange(highest)).all()
    ):
        raise ValueError(f"targets are not all whole numbers from 0 to {highest - 1}")
    if offsets.shape != (len(names) + 1,) or offsets.dtype.kind not in "iu":
        raise ValueError(f"offsets are not {len(names) + 1} whole numbers")
    if offsets[0] != 0 or offsets[-1] != rows or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"offsets do not divide {rows} rows")
    if timestamps is None and rows != len(names):
        raise ValueError(f"the number of rows is {rows}, but that of clips is {len(names)}")
    if timestamps is not None and (
        timestamps.shape != (rows,) or timestamps.dtype.kind not in "fiu"
    ):
        raise ValueError(f"timestamps are not {rows} numbers")
    groups = arrays.get("groups")
    if groups is not None and (
        groups.shape != (len(names),) or groups.dtype.kind != "U" or not all(groups.tolist())
    ):
        raise ValueError(f"groups are not {len(names)} names")
    ranked = rankings(arrays)
    return FoldPredictions(
        split,
        names,
        probabilities,
        targets,
        offsets,
        timestamps,
        groups=None if groups is None else tuple(groups.tolist()),
        average_precision=ranked.get("average_precision"),
        precision_at_1=ranked.get("precision_at_1"),
    )


def _listed(clips: Mapping[str, Sequence[Event]]) -> dict[str, list[dict]]:
    return {name: [asdict(event) for event in found] for name, found in clips.items()}


def _events(listed: Mapping[str, Sequence[object]], clips: Sequence[str]) -> dict[str, list[Event]]:
    """Return the events of each clip, parsed.

    Raises:
        ValueError: the clips differ from ``clips``, or an event is not valid.
    """
    if not isinstance(listed, dict) or listed.keys() != set(clips):
        raise ValueError("its clips differ from those of the predictions")
    if not all(isinstance(of_clip, list) for of_clip in listed.values()):
        raise ValueError("the events of a clip are not a list")
    found = {name: list(map(parse_event, of_clip)) for name, of_clip in listed.items()}
    for name, of_clip in found.items():
        if any(max(abs(event.start), abs(event.end)) > _LATEST_MS for event in of_clip):
            raise ValueError(f"an event of '{name}' is more than a day away")
    return found
