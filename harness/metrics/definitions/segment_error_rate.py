"""Error rate of labels in segments of one second, with the definition of sed_eval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from harness.metrics.event_metric import EventMetric, EventTable


@dataclass(frozen=True, kw_only=True)
class _SegmentErrorRate(EventMetric):
    """(S + D + I) / (active label-segments of the reference), which may exceed 1.

    It is undefined if the reference is empty.
    """

    higher_is_better: bool = False
    range: tuple[float, float] = (0.0, np.inf)
    value_name: ClassVar[str] = "error_rate"
    columns: ClassVar[tuple[str, ...]] = (
        "substitutions",
        "deletions",
        "insertions",
        "reference_segments",
    )
    mistakes: ClassVar[tuple[str, ...]] = ("substitutions", "deletions", "insertions")

    def fraction(self, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        *errors, reference = np.moveaxis(totals, -1, 0)
        return np.sum(errors, axis=0), reference

    def denominator_of_original(self, totals: np.ndarray) -> np.ndarray:
        """Return the denominator plus 2.2e-16, by which sed_eval avoids a division by 0."""
        return self.fraction(totals)[1] + np.spacing(1.0)

    def chance(self, truth: Sequence[np.ndarray]) -> float:
        """Return the error rate of predicting nothing."""
        return 1.0

    def count_tables(
        self, predicted: EventTable, reference: EventTable, n_files: int
    ) -> np.ndarray:
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


segment_1s_er = _SegmentErrorRate(name="segment_1s_er")
