"""The influence of each test unit on a score, by the jackknife over groups or clips.

A score is computed again without each unit of its stratum. The squared influences add up to the
jackknife estimate of the score's variance. For a few units of unequal size it is less biased than
the linearised estimate (Bell and McCaffrey 2002, CR3). Macro means scale the change of each class
(CR2 of the same paper, :mod:`harness.metrics.macro_mean`). For a paired comparison, the influences
of two models on the same units are subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.metrics.units import Units


@dataclass(frozen=True)
class Influence:
    """A score, or a difference of two scores, and the influence of each unit on it.

    Attributes:
        value: the reported score: the mean over folds of the mean over runs.
        moves: influence of each unit, (units,). The squares add up to the score's variance. NaN if
            the score is undefined without the unit.
        units: the partition of the clips; for macro means its units can be blocks.
        worth: an upper limit of the effective number of units
            (:func:`harness.metrics.macro_mean.effective_units`).
    """

    value: float
    moves: np.ndarray
    units: Units
    worth: float = np.inf

    @property
    def variance(self) -> float:
        """Variance of the score over test sets of such units."""
        return float((self.moves**2).sum())

    def minus(self, other: Influence) -> Influence:
        """Return the difference of two scores on the same units."""
        return replace(self, value=self.value - other.value, moves=self.moves - other.moves)


def mean_influence(seeds: Sequence[Influence]) -> Influence:
    """Return the mean of several seeds' scores on the same units."""
    return replace(
        seeds[0],
        value=float(np.mean([each.value for each in seeds])),
        moves=np.mean([each.moves for each in seeds], axis=0),
    )


def share_influence(folds: Sequence[np.ndarray], units: Units) -> Influence:
    """Compute the mean over folds of clips' mean values (n,), with and without each unit."""
    totals = [np.stack([fold, np.ones(len(fold))], axis=1) for fold in folds]
    return totals_influence(totals, units, lambda total: total[..., 0] / total[..., 1])


def totals_influence(
    counts: Sequence[np.ndarray], units: Units, value: Callable[[np.ndarray], np.ndarray]
) -> Influence:
    """Compute a score of totals over clips with and without each unit.

    Args:
        counts: of each fold and clip, (n, ...).
        units: of the same clips.
        value: computes scores from totals.
    """
    whole, without = [], []
    for number, of_fold in enumerate(counts):
        total = of_fold.sum(axis=0)
        present = np.unique(units.of_clip[number])
        with np.errstate(divide="ignore", invalid="ignore"):
            whole.append(float(value(total)))
            without.append(value(total - units.sums(number, of_fold)[present]))
    return values_influence(whole, without, units)


def values_influence(
    whole: Sequence[float], without: Sequence[np.ndarray], units: Units
) -> Influence:
    """Return the influences on the mean over folds.

    Args:
        whole: the score of each fold.
        without: the score of each fold without each of its units, in the order of their numbers.
        units: of all folds.
    """
    values = np.repeat(np.asarray(whole, dtype=np.float64)[:, None], units.n_units, axis=1)
    emptied = np.zeros(values.shape, dtype=bool)
    for fold, (of_fold, of_clip) in enumerate(zip(without, units.of_clip, strict=True)):
        present = np.unique(of_clip)
        values[fold, present] = of_fold
        emptied[fold, present] = len(present) == 1
    # Without the only unit of a fold, the score is the mean over the other folds.
    kept = np.where(emptied, 0.0, values).sum(axis=0)
    n_kept = (~emptied).sum(axis=0)
    left = np.divide(kept, n_kept, out=np.full(len(kept), np.nan), where=n_kept > 0)
    size = units.stratum_sizes[units.stratum]
    mean = (np.bincount(units.stratum, left) / units.stratum_sizes)[units.stratum]
    return Influence(float(np.mean(whole)), (mean - left) * np.sqrt((size - 1) / size), units)
