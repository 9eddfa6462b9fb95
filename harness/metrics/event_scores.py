"""Metrics of event tasks, with the definitions of sed_eval: counts per file, and values from them.

Every value, and every bootstrap resample, is computed from whole-number counts per file, added up
over files (micro averaging). A file of the reference without predictions counts with all its
events missed; sed_eval driven by heareval leaves such a file out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from harness.core.errors import UserError, did_you_mean
from harness.metrics.scores import Metric

_EVENT_TASKS = ("multilabel",)
METRICS: Mapping[str, Metric] = {
    "event_onset_200ms_fms": Metric("event_onset_200ms_fms", True, _EVENT_TASKS),
    "event_onset_50ms_fms": Metric("event_onset_50ms_fms", True, _EVENT_TASKS),
    "event_onset_offset_50ms_20perc_fms": Metric(
        "event_onset_offset_50ms_20perc_fms", True, _EVENT_TASKS
    ),
    "segment_1s_er": Metric("segment_1s_er", False, _EVENT_TASKS, (0.0, np.inf)),
}


@dataclass(frozen=True, slots=True)
class Event:
    """A labelled stretch of a clip, ``start`` and ``end`` in milliseconds."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class _Tolerance:
    """How far apart matched events may lie, in seconds; offsets are free when ``length`` is None.

    The offset may deviate by ``collar`` or by the share ``length`` of the reference event's
    length, whichever is more.
    """

    collar: float
    length: float | None = None


# From the metrics' definitions in the HEAR benchmark, which their names abbreviate.
_TOLERANCES: Mapping[str, _Tolerance] = {
    "event_onset_200ms_fms": _Tolerance(0.2),
    "event_onset_50ms_fms": _Tolerance(0.05),
    "event_onset_offset_50ms_20perc_fms": _Tolerance(0.05, 0.2),
}
_F_COUNTS = ("true_positives", "false_positives", "misses")
_ER_COUNTS = ("substitutions", "deletions", "insertions", "reference_segments")


@dataclass(frozen=True)
class EventCounts:
    """What an event metric counts in each file.

    Attributes:
        files: names, first those of the reference, then any that only predictions name.
        names: the columns of ``counts``: true_positives, false_positives, misses; or
            substitutions, deletions, insertions, reference_segments (active label-segments).
        counts: int64 (n_files, n_columns).
    """

    files: tuple[str, ...]
    names: tuple[str, ...]
    counts: np.ndarray


@dataclass(frozen=True)
class EventTable:
    """Events of many files in columns: file and label by number (n,), times (n,) in ms."""

    file: np.ndarray
    label: np.ndarray
    start: np.ndarray
    end: np.ndarray


def event_table(
    events: Mapping[str, Sequence[Event]], files: Mapping[str, int], labels: dict[str, int]
) -> EventTable:
    """Put events into columns; a label that ``labels`` lacks gets the next number there."""
    rows = [(files[file], event) for file, of_file in events.items() for event in of_file]
    names = [labels.setdefault(event.label, len(labels)) for _, event in rows]
    return EventTable(
        np.array([file for file, _ in rows], dtype=np.int64),
        np.array(names, dtype=np.int64),
        np.array([event.start for _, event in rows], dtype=np.float64),
        np.array([event.end for _, event in rows], dtype=np.float64),
    )


def event_counts(
    metric: str,
    predicted: Mapping[str, Sequence[Event]],
    reference: Mapping[str, Sequence[Event]],
) -> EventCounts:
    """Count what ``metric`` counts, in every file that either mapping names.

    Args:
        metric: a name in ``METRICS``.
        predicted, reference: file -> events, in milliseconds.
    """
    check_metric(metric)
    files = number_files(reference, predicted)
    labels: dict[str, int] = {}
    counts = count_events(
        metric,
        event_table(predicted, files, labels),
        event_table(reference, files, labels),
        len(files),
    )
    return EventCounts(tuple(files), count_names(metric), counts)


def number_files(*names: Iterable[str]) -> dict[str, int]:
    """Number the files of all arguments from 0, in order of their first appearance."""
    return {file: number for number, file in enumerate(dict.fromkeys(chain(*names)))}


def check_metric(metric: str) -> None:
    """Raise UserError, with the nearest name, for a metric that is not in ``METRICS``."""
    if metric not in METRICS:
        raise UserError(
            f"There is no event metric '{metric}'.{did_you_mean(metric, METRICS)} "
            f"Known: {', '.join(METRICS)}."
        )


def count_names(metric: str) -> tuple[str, ...]:
    """Return the names of the columns that ``count_events`` gives for ``metric``."""
    return _F_COUNTS if metric in _TOLERANCES else _ER_COUNTS


def count_events(
    metric: str, predicted: EventTable, reference: EventTable, n_files: int
) -> np.ndarray:
    """Count per file, int64 (n_files, len(count_names(metric)))."""
    if metric not in _TOLERANCES:
        return _segment_errors(predicted, reference, n_files)
    hits = _matched(predicted, reference, _TOLERANCES[metric])
    true_positives = np.bincount(hits, minlength=n_files)
    n_predicted = np.bincount(predicted.file, minlength=n_files)
    n_reference = np.bincount(reference.file, minlength=n_files)
    return np.stack(
        [true_positives, n_predicted - true_positives, n_reference - true_positives], axis=1
    )


def score_events(metric: str, counts: EventCounts, *, original: bool = False) -> dict[str, float]:
    """Values of ``metric`` from the counts of all files; the first is the metric's value.

    F, precision and recall are 2TP / (2TP + FP + FN), TP / (TP + FP), TP / (TP + FN); the error
    rate is (S + D + I) / (active label-segments of the reference), which may exceed 1. A value
    whose denominator is 0 is NaN: precision when nothing is predicted, recall when the reference
    is empty, F only when both hold (nothing predicted where there is something is an F of 0), the
    error rate when the reference is empty.

    Args:
        metric: a name in ``METRICS``.
        counts: from ``event_counts``.
        original: give sed_eval's values, for a protocol that must stop where heareval stops: F is
            NaN as soon as precision or recall is, and an error rate without reference divides by
            2.2e-16.
    """
    totals = counts.counts.sum(axis=0)
    return {
        part: float(event_values(metric, totals, part, original=original))
        for part in parts_of(metric)
    }


def parts_of(metric: str) -> tuple[str, ...]:
    """Return the names of the values that ``score_events`` gives; the first is the metric's own."""
    return ("f_measure", "precision", "recall") if metric in _TOLERANCES else ("error_rate",)


def event_values(
    metric: str, totals: np.ndarray, part: str | None = None, *, original: bool = False
) -> np.ndarray:
    """Values from added-up counts (..., columns): float64 (...), as ``score_events`` defines.

    ``part`` is one of ``parts_of``; the metric's own value without it.
    """
    part = part or parts_of(metric)[0]
    numerator, denominator = _fraction(np.asarray(totals, dtype=np.float64), part)
    if original and part == "f_measure":
        tp, fp, fn = np.moveaxis(totals, -1, 0)
        denominator = np.where((tp + fp == 0) | (tp + fn == 0), 0.0, denominator)
    elif original and part == "error_rate":
        denominator = denominator + np.spacing(1.0)
    undefined = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def n_answers(totals: np.ndarray, part: str) -> np.ndarray:
    """How many events, or label-segments, a value is a share of: float64 (...).

    Of F the mean of those in the reference and those predicted.
    """
    _, denominator = _fraction(np.asarray(totals, dtype=np.float64), part)
    return denominator / 2 if part == "f_measure" else denominator


def _fraction(totals: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
    if part == "error_rate":
        *errors, reference = np.moveaxis(totals, -1, 0)
        return np.sum(errors, axis=0), reference
    tp, fp, fn = np.moveaxis(totals, -1, 0)
    match part:
        case "precision":
            return tp, tp + fp
        case "recall":
            return tp, tp + fn
    return 2 * tp, 2 * tp + fp + fn


def _matched(predicted: EventTable, reference: EventTable, tolerance: _Tolerance) -> np.ndarray:
    """Match events of one file and label within ``tolerance``; return the file of each match.

    The number of matches is the greatest possible, so this is a maximum matching of the bipartite
    graph whose edges are the allowed pairs. Both sides are laid out on one time axis on which
    every (file, label) has a stretch of its own; the onset collar then leaves each reference event
    a short range of predicted ones, found by binary search, and the graph stays sparse.
    """
    if not len(predicted.start) or not len(reference.start):
        return np.zeros(0, dtype=np.int64)
    # Seconds, divided as sed_eval divides: a pair exactly a collar apart must fall on its side.
    starts, onsets = predicted.start / 1000.0, reference.start / 1000.0
    n_labels = 1 + max(predicted.label.max(), reference.label.max())
    earliest = min(starts.min(), onsets.min())
    stretch = max(starts.max(), onsets.max()) - earliest + 1.0
    axis = (predicted.file * n_labels + predicted.label) * stretch + (starts - earliest)
    reference_axis = (reference.file * n_labels + reference.label) * stretch + (onsets - earliest)

    order = np.argsort(axis, kind="stable")
    # The collar is widened past any rounding on the long axis; each pair is then tested exactly.
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


def _segment_errors(predicted: EventTable, reference: EventTable, n_files: int) -> np.ndarray:
    """Substitutions, deletions, insertions and active reference label-segments, (n_files, 4).

    An event makes its label active in every 1 s segment that it touches, from floor(start) to
    ceil(end). In one segment with r active reference labels, p predicted ones and h in both,
    min(r, p) - h are substitutions, max(0, r - p) deletions, max(0, p - r) insertions.
    """
    n_labels = 1 + max(t.label.max(initial=0) for t in (predicted, reference))
    latest = max(t.end.max(initial=0.0) for t in (predicted, reference))
    n_segments = 1 + int(np.ceil(latest / 1000.0))

    def active(table: EventTable) -> np.ndarray:
        first = np.floor(np.maximum(table.start, 0.0) / 1000.0).astype(np.int64)
        last = np.ceil(table.end / 1000.0).astype(np.int64)
        count = np.maximum(last - first, 0)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        segment = np.repeat(table.file * n_segments + first, count) + within
        return np.unique(segment * n_labels + np.repeat(table.label, count))

    size = n_files * n_segments
    is_reference, is_predicted = active(reference), active(predicted)
    both = np.intersect1d(is_reference, is_predicted, assume_unique=True)
    r, p, h = (
        np.bincount(keys // n_labels, minlength=size).reshape(n_files, n_segments)
        for keys in (is_reference, is_predicted, both)
    )
    errors = (np.minimum(r, p) - h, np.maximum(r - p, 0), np.maximum(p - r, 0), r)
    return np.stack([error.sum(axis=1) for error in errors], axis=1)
