"""Metrics of event tasks: fractions of whole-number counts per file.

A value is computed from counts that are added up over files (micro averaging). In a file without
predictions, all events of the reference count as missed; heareval omits such a file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import numpy as np

from harness.core.kinds import EmbeddingType, PredictionType
from harness.metrics.jackknife import Influence, totals_influence
from harness.metrics.metric import Metric, Predictions, RunScore
from harness.metrics.units import Units


@dataclass(frozen=True, slots=True)
class Event:
    """A labelled stretch of a clip, ``start`` and ``end`` in milliseconds."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class EventCounts:
    """What an event metric counts in each file.

    Attributes:
        files: their names: those of the reference, then those that only predictions contain.
        names: the columns of ``counts``: true_positives, false_positives, misses; or
            substitutions, deletions, insertions, reference_segments (active label-segments).
        counts: int64 (n_files, n_columns).
    """

    files: tuple[str, ...]
    names: tuple[str, ...]
    counts: np.ndarray


@dataclass(frozen=True)
class EventTable:
    """Events of many files in columns (n,): numbers of file and label, times in milliseconds."""

    file: np.ndarray
    label: np.ndarray
    start: np.ndarray
    end: np.ndarray


def event_table(
    events: Mapping[str, Sequence[Event]], files: Mapping[str, int], labels: dict[str, int]
) -> EventTable:
    """Put events into columns; add labels that ``labels`` lacks to it, with the next number."""
    rows = [(files[file], event) for file, of_file in events.items() for event in of_file]
    names = [labels.setdefault(event.label, len(labels)) for _, event in rows]
    return EventTable(
        np.array([file for file, _ in rows], dtype=np.int64),
        np.array(names, dtype=np.int64),
        np.array([event.start for _, event in rows], dtype=np.float64),
        np.array([event.end for _, event in rows], dtype=np.float64),
    )


def number_files(*names: Iterable[str]) -> dict[str, int]:
    """Number the files of all arguments from 0, in order of their first appearance."""
    return {file: number for number, file in enumerate(dict.fromkeys(chain(*names)))}


EventFold = Sequence[EventCounts]
"""The counts of every run on one test fold, for the same files in the same order."""


@dataclass(frozen=True, kw_only=True)
class EventMetric(Metric[EventFold]):
    """A fraction of counts of events.

    Attributes:
        columns: names of what is counted in each file.
        mistakes: the columns that count errors.
    """

    prediction_types: tuple[PredictionType, ...] = (PredictionType.MULTILABEL,)
    embedding_type: ClassVar[EmbeddingType] = EmbeddingType.EVENT
    clip_noun: ClassVar[str] = "files"
    one_answer_a_clip: ClassVar[bool] = False
    training_icc: ClassVar[float] = 4e-2
    """Scores of frame probes vary more between trainings than those of clip probes.

    On the demo's event task (16 files, 88 answers) the scores of two or three trainings of
    ``hear2021``, with other seeds or CPUs, had standard deviations of 0.01, 0.04 and 0.08 for
    three models. The allowance is 0.06 there.
    """
    columns: ClassVar[tuple[str, ...]]
    mistakes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def count_tables(
        self, predicted: EventTable, reference: EventTable, n_files: int
    ) -> np.ndarray:
        """Return the counts of each file, int64 (n_files, len(columns))."""

    @abstractmethod
    def fraction(self, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numerator and denominator (...) of totals (..., columns)."""

    def denominator_of_original(self, totals: np.ndarray) -> np.ndarray:
        """Return sed_eval's denominator (...); the value is NaN where it is 0."""
        return self.fraction(totals)[1]

    def answers_in(self, totals: np.ndarray) -> np.ndarray:
        """Return the number of events, or label-segments, that the value is a share of, (...)."""
        return self.fraction(totals)[1]

    def count(
        self,
        predicted: Mapping[str, Sequence[Event]],
        reference: Mapping[str, Sequence[Event]],
    ) -> EventCounts:
        """Count in every file of either mapping (file -> events)."""
        files = number_files(reference, predicted)
        labels: dict[str, int] = {}
        found, truth = (event_table(events, files, labels) for events in (predicted, reference))
        counts = self.count_tables(found, truth, len(files))
        return EventCounts(tuple(files), self.columns, counts)

    def values(self, totals: np.ndarray, *, original: bool = False) -> np.ndarray:
        """Return the value (...) of added-up counts (..., columns), float64.

        A value whose denominator is 0 is NaN.

        Args:
            totals: sums of rows of :class:`EventCounts`.
            original: return sed_eval's value, for protocols that stop training as heareval does.
        """
        totals = np.asarray(totals, dtype=np.float64)
        numerator, denominator = self.fraction(totals)
        if original:
            denominator = self.denominator_of_original(totals)
        undefined = np.full(numerator.shape, np.nan)
        return np.divide(numerator, denominator, out=undefined, where=denominator > 0)

    def value(self, counts: EventCounts) -> float:
        """Return the value over all files of one run."""
        return float(self.values(counts.counts.sum(axis=0)))

    def fold(self, predictions: Predictions) -> EventFold:
        """Return the counts of each run. Matching takes most of the time, so do it once."""
        return [self.count(run, predictions.reference or {}) for run in predictions.predicted]

    def scores(self, fold: EventFold) -> list[RunScore]:
        """Return the score of each run."""
        return [RunScore(self.value(run)) for run in fold]

    def influence(self, folds: Sequence[EventFold], units: Units) -> Influence:
        """Compute the score with and without each unit; units partition the files."""
        # (files, runs, columns)
        counts = [fold.transpose(1, 0, 2).astype(np.float64) for fold in map(_stacked, folds)]
        return totals_influence(counts, units, lambda totals: self.values(totals).mean(axis=-1))

    def sizes(self, folds: Sequence[EventFold]) -> list[int]:
        """Return the number of files of each fold."""
        return [len(fold[0].files) for fold in folds]

    def runs(self, fold: EventFold) -> int:
        """Return the number of runs."""
        return len(fold)

    def answers(self, folds: Sequence[EventFold]) -> float:
        """Return the number of events or label-segments behind the score, the mean over runs."""
        totals = [_stacked(fold).sum(axis=1).astype(np.float64) for fold in folds]
        return sum(float(self.answers_in(of_fold).mean()) for of_fold in totals)

    def class_scores(self, predictions: Predictions, labels: Sequence[str]) -> np.ndarray:
        """Return the score on the events of each label (C,); NaN for labels without events."""
        values = np.full(len(labels), np.nan)
        for place, label in enumerate(labels):
            truth = _only(label, predictions.reference or {})
            if any(truth.values()):
                runs = [self.count(_only(label, run), truth) for run in predictions.predicted]
                totals = np.stack([run.counts.sum(axis=0) for run in runs])
                values[place] = self.values(totals).mean()
        return values


def _only(label: str, events: Mapping[str, Sequence[Event]]) -> dict[str, list[Event]]:
    return {file: [e for e in found if e.label == label] for file, found in events.items()}


def _stacked(fold: EventFold) -> np.ndarray:
    """Return the counts of a fold, (runs, files, columns).

    Raises:
        ValueError: the runs have different files.
    """
    if any(run.files != fold[0].files for run in fold):
        raise ValueError("the runs of a fold must be scored on the same files, in one order")
    return np.stack([run.counts for run in fold])
