"""F-measure, precision and recall of matched events, by the definitions of sed_eval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from harness.metrics.event_metric import EventMetric, EventTable


@dataclass(frozen=True)
class Tolerance:
    """How much the times of matched events may differ.

    Attributes:
        collar: largest difference of onsets, in seconds.
        length: offsets may differ by ``collar`` or by this share of the reference event's length,
            whichever is more. Offsets are not compared if it is None.
    """

    collar: float
    length: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Matching(EventMetric):
    """A fraction of matched events."""

    tolerance: Tolerance
    columns: ClassVar[tuple[str, ...]] = ("true_positives", "false_positives", "misses")
    mistakes: ClassVar[tuple[str, ...]] = ("false_positives", "misses")

    def count_tables(
        self, predicted: EventTable, reference: EventTable, n_files: int
    ) -> np.ndarray:
        hits = _matched(predicted, reference, self.tolerance)
        true_positives = np.bincount(hits, minlength=n_files)
        n_predicted = np.bincount(predicted.file, minlength=n_files)
        n_reference = np.bincount(reference.file, minlength=n_files)
        return np.stack(
            [true_positives, n_predicted - true_positives, n_reference - true_positives], axis=1
        )

    def chance(self, truth: Sequence[np.ndarray]) -> float:
        """Return 0: constant predictions have no onset near that of an event."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class _FMeasure(_Matching):
    """2TP / (2TP + FP + FN).

    It is undefined if there are neither events nor predictions, and 0 if events exist and none is
    predicted.
    """

    value_name: ClassVar[str] = "f_measure"

    @property
    def parts(self) -> tuple[EventMetric, ...]:
        return (
            _Precision(name=f"{self.name}_precision", tolerance=self.tolerance),
            _Recall(name=f"{self.name}_recall", tolerance=self.tolerance),
        )

    def fraction(self, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tp, fp, fn = np.moveaxis(totals, -1, 0)
        return 2 * tp, 2 * tp + fp + fn

    def denominator_of_original(self, totals: np.ndarray) -> np.ndarray:
        """Return 0 where precision or recall is undefined: sed_eval's F is then NaN."""
        tp, fp, fn = np.moveaxis(totals, -1, 0)
        return np.where((tp + fp == 0) | (tp + fn == 0), 0.0, 2 * tp + fp + fn)

    def answers_in(self, totals: np.ndarray) -> np.ndarray:
        """Return the mean of the events in the reference and of those predicted."""
        return self.fraction(totals)[1] / 2


@dataclass(frozen=True, kw_only=True)
class _Precision(_Matching):
    """TP / (TP + FP); undefined if nothing is predicted."""

    def fraction(self, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tp, fp, _ = np.moveaxis(totals, -1, 0)
        return tp, tp + fp


@dataclass(frozen=True, kw_only=True)
class _Recall(_Matching):
    """TP / (TP + FN); undefined if the reference is empty."""

    def fraction(self, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tp, _, fn = np.moveaxis(totals, -1, 0)
        return tp, tp + fn


def _matched(predicted: EventTable, reference: EventTable, tolerance: Tolerance) -> np.ndarray:
    """Match events of one file and label within ``tolerance``; return the file of each match.

    The number of matches is the greatest possible: a maximum matching of the bipartite graph whose
    edges are the allowed pairs. All events are placed on one time axis, on which every (file,
    label) has its own section. Binary search then finds the few predicted events within the onset
    collar of each reference event, so that the graph is sparse.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not len(predicted.start) or not len(reference.start):
        return np.zeros(0, dtype=np.int64)
    # Divide as sed_eval does, so that rounding is the same for pairs exactly one collar apart.
    starts, onsets = predicted.start / 1000.0, reference.start / 1000.0
    n_labels = 1 + max(predicted.label.max(), reference.label.max())
    earliest = min(starts.min(), onsets.min())
    stretch = max(starts.max(), onsets.max()) - earliest + 1.0
    axis = (predicted.file * n_labels + predicted.label) * stretch + (starts - earliest)
    reference_axis = (reference.file * n_labels + reference.label) * stretch + (onsets - earliest)

    order = np.argsort(axis, kind="stable")
    # Search with a wider collar, because times on the long axis are rounded; then test each pair.
    reach = tolerance.collar + 1e-3
    first = np.searchsorted(axis[order], reference_axis - reach, side="left")
    last = np.searchsorted(axis[order], reference_axis + reach, side="right")
    degree = last - first
    pair_reference = np.repeat(np.arange(len(onsets)), degree)
    within = np.arange(degree.sum()) - np.repeat(np.cumsum(degree) - degree, degree)
    pair_predicted = order[np.repeat(first, degree) + within]

    allowed = np.abs(onsets[pair_reference] - starts[pair_predicted]) <= tolerance.collar
    if tolerance.length is not None:
        ends, offsets = predicted.end / 1000.0, reference.end / 1000.0
        offset_tolerance = np.maximum(tolerance.collar, tolerance.length * (offsets - onsets))
        deviation = np.abs(offsets[pair_reference] - ends[pair_predicted])
        allowed &= deviation <= offset_tolerance[pair_reference]
    graph = sparse.csr_matrix(
        (
            np.ones(int(allowed.sum()), dtype=np.int8),
            (pair_reference[allowed], pair_predicted[allowed]),
        ),
        shape=(len(onsets), len(starts)),
    )
    match = maximum_bipartite_matching(graph, perm_type="column")
    return reference.file[match >= 0]


# The tolerances of the HEAR benchmark; the names abbreviate them.
onset_200ms = _FMeasure(name="event_onset_200ms_fms", tolerance=Tolerance(0.2))
onset_50ms = _FMeasure(name="event_onset_50ms_fms", tolerance=Tolerance(0.05))
onset_offset_50ms = _FMeasure(
    name="event_onset_offset_50ms_20perc_fms", tolerance=Tolerance(0.05, 0.2)
)
