"""Equal error rate of verification: is a test clip of this class?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.kinds import PredictionType
from harness.metrics.jackknife import Influence, values_influence
from harness.metrics.metric import Predictions, RunScore
from harness.metrics.retrieval_metric import RetrievalFold, RetrievalMetric
from harness.metrics.units import Units

_CHUNK_BYTES = 300e6
_ARRAYS = 8  # of pairs x weightings, alive at once


@dataclass(frozen=True, kw_only=True)
class _EqualErrorRate(RetrievalMetric):
    """The error rate at the threshold where as many pairs are accepted as rejected in error.

    A pair is a test clip and a class that has train clips. It is accepted if the similarity of the
    clip to the most similar train clip of the class is at least the threshold; pairs of all clips
    and classes have one threshold. Between two thresholds the rates are interpolated linearly.
    """

    higher_is_better: bool = False
    prediction_types: tuple[PredictionType, ...] = (PredictionType.MULTICLASS,)

    def scores(self, fold: RetrievalFold) -> list[RunScore]:
        ones = np.ones((len(fold.positives), 1))
        return [RunScore(float(pairs.rates(ones)[0])) for pairs in _runs(fold)]

    def jackknife_units(self, units: Units) -> Units:
        """Return blocks of units if there are many."""
        return units.blocks()

    def influence(self, folds: Sequence[RetrievalFold], units: Units) -> Influence:
        units = self.jackknife_units(units)
        whole, without = [], []
        for fold, of_clip in zip(folds, units.of_clip, strict=True):
            runs, present = _runs(fold), np.unique(of_clip)
            whole.append(float(np.mean([run.rates(np.ones((len(of_clip), 1)))[0] for run in runs])))
            parts = [
                np.mean(
                    [run.rates((of_clip[:, None] != some).astype(float)) for run in runs], axis=0
                )
                for some in _chunks(present, runs[0].n_pairs)
            ]
            without.append(np.concatenate(parts))
        return values_influence(whole, without, units)

    def answers(self, folds: Sequence[RetrievalFold]) -> float:
        return float(sum(self.sizes(folds)))

    def class_scores(self, predictions: Predictions, labels: Sequence[str]) -> np.ndarray:
        fold = self.fold(predictions)
        return np.array([self._of_class(fold, c) for c in range(len(labels))])

    def _of_class(self, fold: RetrievalFold, c: int) -> float:
        only = slice(c, c + 1)
        part = RetrievalFold(*(values[..., only] for values in fold))
        if np.isnan(part.precision).any():
            return np.nan
        return float(np.mean([run.value for run in self.scores(part)]))

    def chance(self, truth: Sequence[np.ndarray]) -> float:
        return 0.5


class _Trials:
    """The pairs of one run of a fold, sorted by falling similarity."""

    def __init__(self, similarity: np.ndarray, positives: np.ndarray) -> None:
        """Take similarities and labels (n, C)."""
        flat = similarity.ravel()
        order = np.argsort(-flat, kind="stable")
        self._clip = order // similarity.shape[1]
        self._target = positives.ravel()[order]
        ranked = flat[order]
        # A threshold accepts all pairs of equal similarity.
        self._last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self._clip)

    def rates(self, weights: np.ndarray) -> np.ndarray:
        """Return the equal error rate (b,) for weights of the clips (n, b); NaN if undefined."""
        weight = weights[self._clip]
        accepted = np.cumsum(np.where(self._target[:, None], weight, 0.0), axis=0)[self._last]
        alarms = np.cumsum(np.where(self._target[:, None], 0.0, weight), axis=0)[self._last]
        with np.errstate(divide="ignore", invalid="ignore"):
            misses = 1 - accepted / accepted[-1]
            alarms = alarms / alarms[-1]
        start = np.zeros((1, weights.shape[1]))
        misses, alarms = np.concatenate([start + 1, misses]), np.concatenate([start, alarms])
        # Misses fall from 1 to 0 and false alarms rise from 0 to 1: find where they cross.
        after = np.argmax(misses <= alarms, axis=0)
        column = np.arange(weights.shape[1])
        gap_after = alarms[after, column] - misses[after, column]
        gap_before = misses[after - 1, column] - alarms[after - 1, column]
        share = gap_before / (gap_before + gap_after)
        before = alarms[after - 1, column]
        return before + share * (alarms[after, column] - before)


def _runs(fold: RetrievalFold) -> list[_Trials]:
    """Return the pairs of each run; classes without train clips are left out."""
    known = ~np.isnan(fold.precision).any(axis=(0, 1))
    return [_Trials(run[:, known], fold.positives[:, known]) for run in fold.similarity]


def _chunks(units: np.ndarray, n_pairs: int) -> Iterator[np.ndarray]:
    size = max(1, int(_CHUNK_BYTES / (8 * _ARRAYS * n_pairs)))
    return (units[start : start + size] for start in range(0, len(units), size))


eer = _EqualErrorRate(name="eer")
