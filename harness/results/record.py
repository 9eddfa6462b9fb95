"""The record of a finished evaluation, ``evaluation.json``, which comparisons and reports read.

It contains the task's kind, labels and folds, and the places of embeddings, probes and recordings.
Paths inside the run's folder are relative to it, so that the folder can be moved.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from harness.core.cells import InnerFolder
from harness.core.errors import UserError
from harness.core.files import write_file
from harness.core.kinds import EmbeddingType, PredictionType
from harness.embeddings.store import SplitEmbeddings, read_split
from harness.metrics.registry import RETRIEVAL, metrics_of
from harness.probe import UnitResult
from harness.results.folder import RECORD
from harness.results.predictions import FoldPredictions, read_predictions
from hear_byola.core import jsontext
from hear_byola.core.schema import Schema, Whole, distinct, listed, read
from tasks.format.spec import Names, PlainName, TaskKind
from tasks.format.task import Fold, Task

FORMAT_VERSION = 1
_CURE = "Delete its folder and run again: embeddings and probes are kept."


_Text = Annotated[str, Field(min_length=1)]
_Places = Annotated[tuple[InnerFolder, ...], distinct("folders")]


class _Folds(Schema):
    """The splits of a fold."""

    name: PlainName
    train: Names
    valid: PlainName
    test: PlainName


class _Audio(Schema):
    """The audio of a split that was embedded: sample rate and hash."""

    rate: Whole
    sha256: _Text


class _Evaluated(TaskKind):
    """The task of a record.

    Attributes:
        task: the task's name.
        evaluation: the task's metrics; the first is primary.
        labels: the classes, in the order of the predictions' columns.
        task_directory: the directory that the task was read from; it may no longer exist.
    """

    task: _Text
    evaluation: Names
    labels: Annotated[tuple[_Text, ...], distinct("labels")]
    task_directory: Path


class _Document(_Evaluated):
    """The content of ``evaluation.json``."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=False)

    folds: Annotated[tuple[_Folds, ...], distinct("folds")]
    embeddings: Mapping[str, InnerFolder]
    probes: Mapping[str, _Places]
    audio: Mapping[str, _Audio] = {}


class Record(_Evaluated):
    """A finished evaluation: one model x task x protocol x seed.

    Attributes:
        directory: the folder of its predictions and result rows.
        run: the run's folder.
        folds: the splits to train, select and test.
        embeddings: folder of each split's embeddings, which may no longer exist; empty if the
            original kit's layout was read.
        probes: the folders of each fold's selected probes, by the name of its test split.
        audio: the rate in Hz and a hash of each test split's recordings; empty if the manifests of
            the embeddings lack them (older versions, the original kit).
    """

    directory: Path
    run: Path
    folds: tuple[Fold, ...]
    embeddings: Mapping[str, Path]
    probes: Mapping[str, tuple[Path, ...]]
    audio: Mapping[str, tuple[int, str]]

    def read_predictions(self) -> list[FoldPredictions]:
        """Read the test predictions of every fold.

        Raises:
            UserError: some are missing or damaged, or have other labels or another kind of task.
        """
        found = [read_predictions(self.directory, fold.test) for fold in self.folds]
        kind = (
            self.embedding_type == EmbeddingType.EVENT,
            self.prediction_type == PredictionType.MULTILABEL,
        )
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
            UserError: they are missing or damaged, or were read from the original kit's layout.
        """
        if split not in self.embeddings:
            raise UserError(f"{self.directory}: no folder of embeddings is recorded for '{split}'.")
        return read_split(self.embeddings[split])

    def read_probes(self, fold: Fold) -> list[UnitResult]:
        """Read the results of a fold's selected probes.

        Raises:
            UserError: they are missing or damaged.
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
    """Write ``evaluation.json`` into an evaluation's folder.

    Args:
        directory: the folder.
        run: the run's folder, which contains the embeddings and the probes.
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


def read_record(directory: Path) -> Record:
    """Read the record of one finished evaluation, ``RUN/results/MODEL/TASK/EVALUATION``.

    Raises:
        UserError: it is missing or damaged, or has another format version.
    """
    path = directory / RECORD
    try:
        content = jsontext.load(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {str(error).rstrip('.')}. {_CURE}") from error
    version = content.get("format_version", 0) if isinstance(content, dict) else FORMAT_VERSION
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: format version {version}; this harness reads {FORMAT_VERSION}. {_CURE}"
        )
    document = read(_Document, content, str(path), UserError)
    if faults := list(_disagreements(document)):
        raise UserError(f"{listed(str(path), faults)} {_CURE}")
    run = Path(os.path.normpath(directory / "../../../.."))
    return Record(
        **{name: getattr(document, name) for name in _Evaluated.model_fields},
        directory=directory,
        run=run,
        folds=tuple(Fold(**dict(fold)) for fold in document.folds),
        # Empty for the original kit's layout.
        embeddings={split: run / place for split, place in document.embeddings.items()},
        probes={
            split: tuple(run / place for place in places)
            for split, places in document.probes.items()
        },
        audio={split: (heard.rate, heard.sha256) for split, heard in document.audio.items()},
    )


def _disagreements(document: _Document) -> Iterator[str]:
    """Yield a sentence for each field of a record that does not fit the others."""
    kind, prediction = document.embedding_type, document.prediction_type
    for name in document.evaluation:
        if name not in metrics_of(kind, prediction) and name not in RETRIEVAL:
            yield f"'{name}' is not a metric of {prediction} {kind} tasks."
    tested = [fold.test for fold in document.folds]
    if len(set(tested)) < len(tested):
        yield "two folds have the same test split."
    if document.probes.keys() != set(tested):
        yield "the test splits of probes and folds differ."
