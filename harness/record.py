"""What a finished evaluation left in a run's folder, and where what it stands on is.

``evaluation.json`` beside the predictions says what comparing and showing them needs: the task's
kind, labels and folds, and where embeddings, probes and recordings are. Paths inside the run's
folder are relative to it, so that it may be moved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from harness.errors import UserError
from harness.files import write_file
from harness.predictions import FoldPredictions, read_predictions
from harness.probe import ProbeUnit, UnitResult
from harness.results import read_results
from harness.run.plan import Evaluation
from harness.store import SplitEmbeddings, read_split
from harness.task import Fold, Task

FORMAT_VERSION = 1
_FILE = "evaluation.json"


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

    def rows(self) -> pd.DataFrame:
        """Return its result rows, as :func:`harness.results.frame` types them."""
        return read_results([self.directory])

    def read_predictions(self) -> list[FoldPredictions]:
        """Read the test predictions of every fold.

        Raises:
            UserError: some are missing or damaged.
        """
        return [read_predictions(self.directory, fold.test) for fold in self.folds]

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
    evaluation: Evaluation,
    task: Task,
    units: Sequence[Sequence[ProbeUnit]],
    directory: Path,
) -> None:
    """Write ``evaluation.json`` into the folder that is to become ``evaluation.directory``."""
    run = evaluation.out.resolve()
    embeddings = {split: _inside(path, run) for split, path in evaluation.embeddings.by_split()}
    probes = {
        fold.test: [_inside(evaluation.probe_directory(unit), run) for unit in runs]
        for fold, runs in zip(task.folds, units, strict=True)
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
        "embeddings": embeddings,
        "probes": probes,
    }
    write_file(directory / _FILE, json.dumps(document, indent=1) + "\n")


def _inside(path: Path, run: Path) -> str:
    path = path.resolve()
    return path.relative_to(run).as_posix() if path.is_relative_to(run) else str(path)


def find_records(run: Path) -> Iterator[Record]:
    """Find the finished evaluations of a run's folder, in the order of their names.

    An evaluation that an older version of the harness finished has no ``evaluation.json`` and is
    passed over.

    Raises:
        UserError: an ``evaluation.json`` is damaged, or of another format version.
    """
    for path in sorted((run / "results").glob(f"*/*/*/{_FILE}")):
        yield read_record(path.parent)


def read_record(directory: Path) -> Record:
    """Read the record of one finished evaluation, ``RUN/results/MODEL/TASK/EVALUATION``.

    Raises:
        UserError: there is none, it is damaged, or of another format version.
    """
    path = directory / _FILE
    run = directory.parents[3]
    try:
        document = json.loads(path.read_text())
        if document["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"format version {document['format_version']}; this harness reads {FORMAT_VERSION}"
            )
        return Record(
            directory=directory,
            run=run,
            task=document["task"],
            embedding_type=document["embedding_type"],
            prediction_type=document["prediction_type"],
            evaluation=tuple(document["evaluation"]),
            labels=tuple(document["labels"]),
            folds=tuple(
                Fold(each["name"], tuple(each["train"]), each["valid"], each["test"])
                for each in document["folds"]
            ),
            task_directory=Path(document["task_directory"]),
            embeddings={split: run / place for split, place in document["embeddings"].items()},
            probes={
                split: tuple(run / place for place in places)
                for split, places in document["probes"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: {error}. Delete its folder and run again: embeddings and probes are kept."
        ) from error
