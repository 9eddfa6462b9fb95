"""What a finished evaluation left in a run's folder, and where what it stands on is.

``evaluation.json`` beside the predictions says what comparing and showing them needs: the task's
kind, labels and folds, and where embeddings, probes and recordings are. Paths inside the run's
folder are relative to it, so that it may be moved.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from harness.core.errors import UserError
from harness.core.files import write_file
from harness.embeddings.store import SplitEmbeddings, read_split
from harness.metrics.registry import metrics_of
from harness.probe import UnitResult
from harness.results import find_evaluations, read_results
from harness.results.folder import RECORD
from harness.results.predictions import FoldPredictions, read_predictions
from tasks.format.directory import plain_name
from tasks.format.task import Fold, Task

FORMAT_VERSION = 1
_CURE = "Delete its folder and run again: embeddings and probes are kept."


@dataclass(frozen=True)
class Record:
    """A finished evaluation: one model x task x protocol x seed.

    Attributes:
        directory: of its predictions and result rows.
        run: the run's folder.
        task: the task's name.
        embedding_type: ``scene`` or ``event``.
        prediction_type: ``multiclass`` or ``multilabel``.
        evaluation: the task's metrics; the first is primary.
        labels: the classes, in the order of the predictions' columns.
        folds: which splits trained, selected and tested.
        task_directory: where the task was read from; it may be gone.
        audio: of each test split the rate in Hz and a hash of the recordings that were embedded;
            empty where the embeddings do not say, of an older version or another kit.
        embeddings: folder of each split's embeddings; none where the original kit's layout was
            read. A folder may be gone.
        probes: of each fold, by the name of its test split, the folders of the selected probes.
    """

    directory: Path
    run: Path
    task: str
    embedding_type: str
    prediction_type: str
    evaluation: tuple[str, ...]
    labels: tuple[str, ...]
    folds: tuple[Fold, ...]
    task_directory: Path
    embeddings: dict[str, Path]
    probes: dict[str, tuple[Path, ...]]
    audio: dict[str, tuple[int, str]] = field(default_factory=dict)

    def rows(self) -> pd.DataFrame:
        """Return its result rows, as :func:`harness.results.frame` types them."""
        return read_results([self.directory])

    def read_predictions(self) -> list[FoldPredictions]:
        """Read the test predictions of every fold.

        Raises:
            UserError: some are missing or damaged, or of other labels or another kind of task.
        """
        found = [read_predictions(self.directory, fold.test) for fold in self.folds]
        kind = (self.embedding_type == "event", self.prediction_type == "multilabel")
        for fold in found:
            if (fold.timestamps is not None, fold.targets.ndim == 2) != kind or (
                fold.probabilities.shape[2] != len(self.labels)
            ):
                raise UserError(
                    f"{self.directory / RECORD}: its labels and kind of task are not those of the "
                    f"predictions of '{fold.split}' beside it. {_CURE}"
                )
        return found

    def read_embeddings(self, split: str) -> SplitEmbeddings:
        """Open the embeddings of a split, memory-mapped.

        Raises:
            UserError: they are gone, damaged, or were read from the original kit's layout.
        """
        if split not in self.embeddings:
            raise UserError(f"{self.directory}: no folder of embeddings is known of '{split}'.")
        return read_split(self.embeddings[split])

    def read_probes(self, fold: Fold) -> list[UnitResult]:
        """Read what the selected probes of a fold found.

        Raises:
            UserError: they are gone or damaged.
        """
        return [UnitResult.from_files(directory) for directory in self.probes[fold.test]]


def write_record(
    directory: Path,
    *,
    run: Path,
    task: Task,
    embeddings: Mapping[str, Path],
    probes: Mapping[str, Sequence[Path]],
) -> None:
    """Write ``evaluation.json`` into the folder that is to become the evaluation's.

    Args:
        directory: where the file goes.
        run: the run's folder, which holds the embeddings and the probes.
        task: the task that was evaluated.
        embeddings: the folder of each split's embeddings; empty for the original kit's layout.
        probes: the folders of each fold's selected probes, by the name of its test split.
    """
    tested = {fold.test for fold in task.folds}
    manifests = {
        split: read_split(path).manifest for split, path in embeddings.items() if split in tested
    }
    document = {
        "format_version": FORMAT_VERSION,
        "task": task.name,
        "embedding_type": task.embedding_type,
        "prediction_type": task.prediction_type,
        "evaluation": task.evaluation,
        "labels": task.labels,
        "folds": [asdict(fold) for fold in task.folds],
        "task_directory": str(task.directory.resolve()),
        "embeddings": {split: _within(run, path) for split, path in embeddings.items()},
        "probes": {test: [_within(run, path) for path in paths] for test, paths in probes.items()},
        "audio": {split: m["audio"] for split, m in manifests.items() if "audio" in m},
    }
    write_file(directory / RECORD, json.dumps(document, indent=1) + "\n")


def _within(run: Path, path: Path) -> str:
    return path.relative_to(run).as_posix()


def find_records(run: Path) -> Iterator[Record]:
    """Find the finished evaluations of a run's folder, or a part of it, in order of their names.

    An evaluation that an older version of the harness finished has no ``evaluation.json`` and is
    passed over.

    Raises:
        UserError: an ``evaluation.json`` is damaged, or of another format version.
    """
    for directory in find_evaluations(run):
        if (directory / RECORD).is_file():
            yield read_record(directory)


def read_record(directory: Path) -> Record:
    """Read the record of one finished evaluation, ``RUN/results/MODEL/TASK/EVALUATION``.

    Raises:
        UserError: there is none, it is damaged, or of another format version.
    """
    path = directory / RECORD
    try:
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict):
            raise ValueError("it holds no JSON object")
        version = document.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(f"format version {version}; this harness reads {FORMAT_VERSION}")
        return _record(document, directory)
    except KeyError as error:
        raise UserError(f"{path} lacks {error}. {_CURE}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {str(error).rstrip('.')}. {_CURE}") from error


def _record(document: Mapping[str, Any], directory: Path) -> Record:
    """Make a record of what a file says; what it names leads nowhere out of the run's folder.

    Raises:
        KeyError: a key that it lacks.
        ValueError: a sentence that says what is wrong.
    """
    run = Path(os.path.normpath(directory / "../../../.."))
    kind, prediction = document["embedding_type"], document["prediction_type"]
    known = metrics_of(kind, str(prediction))
    if not known:
        raise ValueError(f"there are no tasks of type {kind!r} and {prediction!r}")
    evaluation = _texts("evaluation", document["evaluation"])
    for name in evaluation:
        if name not in known:
            raise ValueError(f"'{name}' is no metric of {kind} tasks that are {prediction}")
    folds = tuple(_fold(entry) for entry in _filled("folds", document["folds"], list))
    if len({fold.test for fold in folds}) < len(folds):
        raise ValueError("two folds have one test split")
    probes = {
        split: tuple(_place(run, place) for place in _texts("probes", places))
        for split, places in _filled("probes", document["probes"], dict).items()
    }
    if probes.keys() != {fold.test for fold in folds}:
        raise ValueError("probes names other test splits than folds")
    return Record(
        directory=directory,
        run=run,
        task=_text("task", document["task"]),
        embedding_type=kind,
        prediction_type=prediction,
        evaluation=evaluation,
        labels=_texts("labels", document["labels"]),
        folds=folds,
        task_directory=Path(_text("task_directory", document["task_directory"])),
        # The original kit's layout leaves none.
        embeddings={
            split: _place(run, place)
            for split, place in _of_kind("embeddings", document["embeddings"], dict).items()
        },
        probes=probes,
        audio={
            split: (int(heard["rate"]), _text("sha256 of audio", heard["sha256"]))
            for split, heard in _of_kind("audio", document.get("audio", {}), dict).items()
            if _of_kind("audio of a split", heard, dict)
        },
    )


def _fold(entry: object) -> Fold:
    found = _filled("a fold", entry, dict)
    train = _texts("train of a fold", found["train"])
    splits = [plain_name(found[key]) for key in ("name", "valid", "test")]
    return Fold(splits[0], tuple(map(plain_name, train)), *splits[1:])


def _place(run: Path, place: object) -> Path:
    relative = PurePath(_text("a folder", place))
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"the folder '{place}' is not in that of the run")
    return run / relative


def _texts(name: str, value: object) -> tuple[str, ...]:
    found = tuple(_text(name, each) for each in _filled(name, value, list))
    if len(set(found)) < len(found):
        raise ValueError(f"{name} says one thing twice")
    return found


def _text(name: str, value: object) -> str:
    return _filled(name, value, str)


def _filled(name: str, value: object, kind: type) -> Any:
    if not _of_kind(name, value, kind):
        raise ValueError(f"{name} is empty")
    return value


def _of_kind(name: str, value: object, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{name} is no {_KINDS[kind]}")
    return value


_KINDS: Mapping[type, str] = {str: "text", list: "list", dict: "JSON object"}
