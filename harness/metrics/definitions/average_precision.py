"""Mean average precision: the mean over classes of the area under precision and recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics.macro_mean import RankingMetric
from harness.metrics.ranking import ClassRanking


@dataclass(frozen=True, kw_only=True)
class _AveragePrecision(RankingMetric):
    def of_ranking(self, ranked: ClassRanking) -> np.ndarray:
        return ranked.average_precision

    def original(self, probabilities: np.ndarray, targets: np.ndarray) -> float:
        """Return the mean in which a class without positives counts as 0, as in scikit-learn 1.x.

        In scikit-learn 0.24 it is NaN.
        """
        if np.isnan(probabilities).any():
            return float("nan")
        return float(np.nan_to_num(self.by_class(probabilities, targets)).mean())

    def chance(self, truth: Sequence[np.ndarray]) -> float:
        """Return the mean over labels of the share of clips that have the label."""
        return float(np.mean([of_fold.mean() for of_fold in truth]))


mean_average_precision = _AveragePrecision(name="mAP")
