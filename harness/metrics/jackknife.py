"""How much each unit of a test set moves a score: the jackknife over groups or clips.

A score is computed again without each unit, in its stratum. The squared influences add up to the
jackknife estimate of the score's variance, which for a few units of unequal size is less biased
than the linearised one (Bell and McCaffrey 2002, CR3). Influences of two models on the same units
subtract, which pairs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from harness.metrics.event_scores import EventCounts, event_values, parts_of
from harness.metrics.ranking import Ranking
from harness.metrics.scores import (
    ACCURACIES,
    check_metric,
    check_shapes,
    class_values,
    correct,
    macro_mean,
    multi_hot,
)
from harness.metrics.units import Units, clip_units

_CHUNK_BYTES = 300e6
_ARRAYS_PER_WEIGHTING = 10  # of ``Ranking.n_segments`` float64, alive at once in ``scores``


class SceneFold(NamedTuple):
    """Predictions on one test fold of a scene task.

    Attributes:
        probabilities: (runs, n, C).
        targets: (n,) class indices, or (n, C) multi-hot.
    """

    probabilities: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Influence:
    """A score, or a difference of two, and how much each unit moves it.

    Attributes:
        value: the reported score: the mean over folds of the mean over runs.
        moves: (units,), whose squares add up to the score's variance; NaN where the score is
            undefined without a unit.
        units: the partition they belong to; for ranking metrics it may be of blocks.
        worth: an upper limit of the effective number of units (:func:`scene_worth`).
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


def scene_influence(metric: str, folds: Sequence[SceneFold], units: Units) -> Influence:
    """Compute a scene metric with and without each unit.

    Args:
        metric: a name in ``harness.metrics.scores.METRICS``.
        folds: the predictions of every test fold.
        units: of the same clips in the same order.

    Raises:
        UserError: unknown metric.
    """
    check_metric(metric)
    if metric in ACCURACIES:
        return share_influence([correctness(metric, fold).mean(axis=0) for fold in folds], units)
    units = units.blocks()
    whole, without = [], []
    for fold, of_clip in zip(folds, units.of_clip, strict=True):
        scorer = _RankingScorer(metric, SceneFold(*fold))
        present = np.unique(of_clip)
        whole.append(scorer.values(np.ones((len(of_clip), 1)))[0])
        without.append(scorer.without(of_clip, present))
    return replace(_influence(whole, without, units), worth=scene_worth(folds, units))


def share_influence(folds: Sequence[np.ndarray], units: Units) -> Influence:
    """Compute the mean over folds of the mean of clips' values (n,) with and without each unit."""
    totals = [np.stack([fold, np.ones(len(fold))], axis=1) for fold in folds]
    return _from_totals(totals, units, lambda total: total[..., 0] / total[..., 1])


def event_influence(
    metric: str, folds: Sequence[Sequence[EventCounts]], units: Units, part: str | None = None
) -> Influence:
    """Compute an event metric with and without each unit; the units partition the files.

    Args:
        metric: a name in ``harness.metrics.events.METRICS``.
        folds: per test fold the counts of every run, over the same files in one order.
        units: of those files.
        part: one of ``parts_of(metric)``; the metric's own value without it.
    """
    part = part or parts_of(metric)[0]
    # Files first: (files, runs, columns).
    counts = [fold.transpose(1, 0, 2).astype(np.float64) for fold in stacked(folds)]
    return _from_totals(
        counts, units, lambda totals: event_values(metric, totals, part).mean(axis=-1)
    )


def scene_worth(folds: Sequence[SceneFold], units: Units | None = None) -> float:
    """Return the effective number of units behind a macro mean, over all folds.

    A class is known as well as the rarer of its two sides: the units that have a clip of it and
    those that have one not of it. ``k`` classes of ``m_1, ..., m_k`` such units give a mean as well
    known as that of ``k * k / (1 / m_1 + ... + 1 / m_k)`` units, from the sum of the variances of
    proportions: all of them where each unit is of one class and classes are equally frequent. Two
    classes of which each clip has one are one question.

    Args:
        folds: the predictions of every test fold.
        units: of the clips; by default each clip is one.
    """
    units = units or clip_units([len(targets) for _, targets in folds])
    return float(sum(_worth(*fold, units, number) for number, fold in enumerate(folds)))


def _worth(probabilities: np.ndarray, targets: np.ndarray, units: Units, fold: int) -> float:
    hot = multi_hot(targets, probabilities.shape[2])
    sides = [(units.sums(fold, side) > 0).sum(axis=0) for side in (hot, ~hot)]
    rarer = np.minimum(*sides)
    if targets.ndim == 1 and len(rarer) == 2:
        rarer = rarer[:1]
    rarer = rarer[rarer > 0]
    return len(rarer) ** 2 / np.sum(1 / rarer) if len(rarer) else 0.0


def correctness(metric: str, fold: SceneFold) -> np.ndarray:
    """Return whether each clip is right in each run, bool (runs, n)."""
    probabilities, targets = fold
    for run in probabilities:
        check_shapes(run, targets)
    return np.stack([correct(metric, run, targets) for run in probabilities])


def stacked(folds: Sequence[Sequence[EventCounts]]) -> list[np.ndarray]:
    """Return the counts of each fold, (runs, files, columns).

    Raises:
        ValueError: the runs of a fold have different files.
    """
    for fold in folds:
        for run in fold[1:]:
            if run.files != fold[0].files:
                raise ValueError(
                    "the runs of a fold must be scored on the same files, in one order"
                )
    return [np.stack([run.counts for run in fold]) for fold in folds]


def _from_totals(
    counts: Sequence[np.ndarray], units: Units, value: Callable[[np.ndarray], np.ndarray]
) -> Influence:
    """Influences on scores that are computed from totals over clips."""
    whole, without = [], []
    for number, of_fold in enumerate(counts):
        total = of_fold.sum(axis=0)
        present = np.unique(units.of_clip[number])
        with np.errstate(divide="ignore", invalid="ignore"):
            whole.append(float(value(total)))
            without.append(value(total - units.sums(number, of_fold)[present]))
    return _influence(whole, without, units)


def _influence(whole: Sequence[float], without: Sequence[np.ndarray], units: Units) -> Influence:
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


class _RankingScorer:
    """A macro metric of one fold under weightings of its clips, averaged over the fold's runs."""

    def __init__(self, metric: str, fold: SceneFold) -> None:
        probabilities, targets = fold
        for run in probabilities:
            check_shapes(run, targets)
        hot = multi_hot(targets, probabilities.shape[2])
        self._metric = metric
        self._rankings = [Ranking(run, hot) for run in probabilities]
        self._rows = max(ranking.n_segments for ranking in self._rankings) + len(hot)

    def values(self, weights: np.ndarray) -> np.ndarray:
        """Weights (n, b) to values (b,)."""
        runs = [
            macro_mean(class_values(self._metric, ranking.scores(weights)))
            for ranking in self._rankings
        ]
        return np.mean(runs, axis=0)

    def without(self, of_clip: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Values (units,) without each unit, in chunks of bounded memory."""
        return np.concatenate([self.values(w) for w in self._weightings(of_clip, present)])

    def _weightings(self, of_clip: np.ndarray, present: np.ndarray) -> Iterator[np.ndarray]:
        chunk = max(1, int(_CHUNK_BYTES / (8 * _ARRAYS_PER_WEIGHTING * self._rows)))
        for start in range(0, len(present), chunk):
            yield (of_clip[:, None] != present[start : start + chunk]).astype(np.float64)
