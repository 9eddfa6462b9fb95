"""Precision at 1 and mean average precision of retrieval: means over queries and their labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics.jackknife import Influence, totals_influence
from harness.metrics.metric import Predictions, RunScore
from harness.metrics.retrieval_metric import RetrievalFold, RetrievalMetric
from harness.metrics.units import Units


@dataclass(frozen=True, kw_only=True)
class _QueryMean(RetrievalMetric):
    """The mean over all pairs of a test clip and one of its labels.

    A pair is left out if no train clip has the label.
    """

    @abstractmethod
    def of_pairs(self, fold: RetrievalFold) -> np.ndarray:
        """Return the value of each pair of clip and label, (runs, n, C); NaN if undefined."""

    def _totals(self, fold: RetrievalFold) -> np.ndarray:
        """Return sums and numbers of each clip's pairs (n, 2), the means over runs."""
        values = np.where(fold.positives, self.of_pairs(fold), np.nan)
        defined = ~np.isnan(values)
        sums = np.where(defined, values, 0.0).sum(axis=2).mean(axis=0)
        return np.stack([sums, defined.sum(axis=2).mean(axis=0)], axis=1)

    def scores(self, fold: RetrievalFold) -> list[RunScore]:
        found = []
        for run in range(self.runs(fold)):
            of_run = slice(run, run + 1)
            one = fold._replace(
                similarity=fold.similarity[of_run],
                precision=fold.precision[of_run],
                first=fold.first[of_run],
            )
            found.append(RunScore(float(_mean(self._totals(one).sum(axis=0)))))
        return found

    def influence(self, folds: Sequence[RetrievalFold], units: Units) -> Influence:
        return totals_influence([self._totals(fold) for fold in folds], units, _mean)

    def answers(self, folds: Sequence[RetrievalFold]) -> float:
        return float(sum(self._totals(fold)[:, 1].sum() for fold in folds))

    def class_scores(self, predictions: Predictions, labels: Sequence[str]) -> np.ndarray:
        fold = self.fold(predictions)
        values = np.where(fold.positives, self.of_pairs(fold), np.nan)
        defined = ~np.isnan(values)
        sums = np.where(defined, values, 0.0).sum(axis=(0, 1))
        return _mean(np.stack([sums, defined.sum(axis=(0, 1))], axis=1))

    def chance(self, truth: Sequence[np.ndarray]) -> float:
        """Return the share of test clips with a label, averaged over the pairs of clip and label.

        It assumes that the labels of train clips are as frequent as those of test clips.
        """
        shares = [(of_fold.mean(axis=0) * of_fold.sum(axis=0)).sum() for of_fold in truth]
        return float(np.mean([share / of.sum() for share, of in zip(shares, truth, strict=True)]))


def _mean(totals: np.ndarray) -> np.ndarray:
    """Return the means (...,) of sums and numbers (..., 2); NaN of none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return totals[..., 0] / totals[..., 1]


@dataclass(frozen=True, kw_only=True)
class _PrecisionAt1(_QueryMean):
    """The share of pairs whose label the nearest train clip has, a mean over equally near ones."""

    def of_pairs(self, fold: RetrievalFold) -> np.ndarray:
        return fold.first


@dataclass(frozen=True, kw_only=True)
class _RetrievalMap(_QueryMean):
    """The mean average precision of the rankings of the train clips."""

    def of_pairs(self, fold: RetrievalFold) -> np.ndarray:
        return fold.precision


precision_at_1 = _PrecisionAt1(name="precision_at_1")
retrieval_map = _RetrievalMap(name="retrieval_mAP")
