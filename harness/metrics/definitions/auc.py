"""Area under the ROC curve, and d', which is a function of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics.macro_mean import RankingMetric
from harness.metrics.ranking import ClassRanking, Ranking
from harness.metrics.scene_metric import multi_hot


@dataclass(frozen=True, kw_only=True)
class _Auc(RankingMetric):
    def of_ranking(self, ranked: ClassRanking) -> np.ndarray:
        return ranked.auc

    def chance(self, truth: Sequence[np.ndarray]) -> float:
        return 0.5


@dataclass(frozen=True, kw_only=True)
class _DPrime(RankingMetric):
    """The mean over classes of sqrt(2) * ndtri(AUC).

    An AUC of 1 (or 0) has no finite d'. It is computed as if one of its (positive, negative) pairs
    were tied, AUC = 1 - 1 / (2 * pairs), so that one perfect class does not make the mean infinite.
    This half-a-count correction is usual in signal detection theory (Macmillan and Kaplan 1985).
    """

    range: tuple[float, float] = (-np.inf, np.inf)

    def of_ranking(self, ranked: ClassRanking) -> np.ndarray:
        with np.errstate(divide="ignore"):
            half_a_pair = 0.5 / ranked.pairs
        return _d_prime(np.clip(ranked.auc, half_a_pair, 1 - half_a_pair))

    def original(self, probabilities: np.ndarray, targets: np.ndarray) -> float:
        """Return the mean without correction, which is infinite if a class is perfect."""
        if self.score(probabilities, targets).unscored:
            return float("nan")
        hot = multi_hot(targets, probabilities.shape[1])
        auc = Ranking(probabilities, hot).scores(np.ones((len(hot), 1))).auc
        with np.errstate(invalid="ignore"):
            return float(_d_prime(auc).mean())

    def chance(self, truth: Sequence[np.ndarray]) -> float:
        return 0.0

    def best(self, truth: Sequence[np.ndarray]) -> float:
        """Return the mean d' of AUCs of 1."""
        return float(np.mean([_largest(of_fold) for of_fold in truth]))


def _largest(truth: np.ndarray) -> float:
    pairs = truth.sum(axis=0) * (~truth).sum(axis=0)
    return float(np.mean(_d_prime(1.0 - 0.5 / pairs)))


def _d_prime(auc: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    return np.sqrt(2.0) * ndtri(auc)


aucroc = _Auc(name="aucroc")
d_prime = _DPrime(name="d_prime")
