"""Metrics of scene tasks that are means over classes.

The score of a class is undefined without positives and, for AUC and d', without negatives. Such a
class is left out of the mean and listed beside it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.metrics.jackknife import Influence, values_influence
from harness.metrics.metric import Predictions, RunScore
from harness.metrics.ranking import ClassRanking, Ranking
from harness.metrics.scene_metric import SceneFold, SceneMetric, check_shapes, multi_hot
from harness.metrics.units import Units, clip_units

_CHUNK_BYTES = 300e6
_ARRAYS_PER_WEIGHTING = 10  # of ``WeightedClasses.n_rows`` float64, alive at once


@dataclass(frozen=True)
class WeightedClasses:
    """Scores of the classes under weightings of the clips.

    Attributes:
        scores: maps weights (n, b), not negative, to scores (C, b); NaN where a score is undefined.
        n_rows: rows of its largest array of b columns, to limit memory.
    """

    scores: Callable[[np.ndarray], np.ndarray]
    n_rows: int


@dataclass(frozen=True, kw_only=True)
class MacroMean(SceneMetric):
    """The mean of a score over the classes on which it is defined."""

    @abstractmethod
    def weighted(self, probabilities: np.ndarray, positives: np.ndarray) -> WeightedClasses:
        """Prepare the scores of the classes under weightings of the clips.

        Args:
            probabilities: (n, C) without NaN.
            positives: (n, C) bool.
        """

    def by_class(self, probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the score of each class (C, 1); NaN where undefined."""
        check_shapes(probabilities, targets)
        hot = multi_hot(targets, probabilities.shape[1])
        return self.weighted(probabilities, hot).scores(np.ones((len(hot), 1)))

    def score(self, probabilities: np.ndarray, targets: np.ndarray) -> RunScore:
        """Return the mean over classes; see :meth:`SceneMetric.score`."""
        if np.isnan(probabilities).any():
            check_shapes(probabilities, targets)
            return RunScore(np.nan, tuple(range(probabilities.shape[1])))
        by_class = self.by_class(probabilities, targets)
        unscored = tuple(int(c) for c in np.flatnonzero(np.isnan(by_class)))
        return RunScore(float(macro_mean(by_class)[0]), unscored)

    def original(self, probabilities: np.ndarray, targets: np.ndarray) -> float:
        """Return the score, or NaN if a class is undefined."""
        found = self.score(probabilities, targets)
        return float("nan") if found.unscored else found.value

    def jackknife_units(self, units: Units) -> Units:
        """Return blocks of units if there are many."""
        return units.blocks()

    def influence(self, folds: Sequence[SceneFold], units: Units) -> Influence:
        """Compute the mean with and without each unit, or block of units."""
        units = self.jackknife_units(units)
        scorers = [_FoldScorer(self, fold) for fold in folds]
        whole = np.stack([each.by_class(np.ones((each.n_clips, 1)))[:, 0] for each in scorers])
        without = []
        for number, (scorer, of_clip) in enumerate(zip(scorers, units.of_clip, strict=True)):
            present = np.unique(of_clip)
            changes = _changes(
                whole[number],
                _elsewhere(whole, units, present),
                scorer.without(of_clip, present),
                scorer.shares(units, number),
            )
            # values_influence multiplies by this factor, the correction of a single mean.
            size = units.stratum_sizes[units.stratum[present]]
            factor = np.sqrt(np.maximum(size - 1, 1) / size)
            without.append(macro_mean(whole[number][:, None] + changes / factor))
        found = values_influence([scorer.value() for scorer in scorers], without, units)
        return replace(found, worth=effective_units(folds, units))

    def answers(self, folds: Sequence[SceneFold]) -> float:
        """Return the number of clips' labels; a clip without labels is one answer."""
        counts = (max(len(y), y.sum() * (y.ndim - 1)) for _, y in folds)
        return float(sum(counts))

    def class_scores(self, predictions: Predictions, labels: Sequence[str]) -> np.ndarray:
        """Return the score of each class (C,), the mean over runs."""
        targets = predictions.targets
        runs = [self.by_class(run, targets)[:, 0] for run in predictions.probabilities]
        return np.mean(runs, axis=0)


@dataclass(frozen=True, kw_only=True)
class RankingMetric(MacroMean):
    """A macro mean of scores that depend on the ranking of the clips of each class."""

    @abstractmethod
    def of_ranking(self, ranked: ClassRanking) -> np.ndarray:
        """Return the score of each class and weighting, (C, b)."""

    def weighted(self, probabilities: np.ndarray, positives: np.ndarray) -> WeightedClasses:
        """Prepare the scores by ranking the clips once for all weightings."""
        ranking = Ranking(probabilities, positives)
        return WeightedClasses(
            lambda weights: self.of_ranking(ranking.scores(weights)), ranking.n_segments
        )


class _FoldScorer:
    """A macro mean on one fold under weightings of its clips, averaged over the fold's runs."""

    def __init__(self, metric: MacroMean, fold: SceneFold) -> None:
        probabilities, targets = fold
        for run in probabilities:
            check_shapes(run, targets)
        hot = multi_hot(targets, probabilities.shape[2])
        self._runs = [metric.weighted(run, hot) for run in probabilities]
        self._rows = max(run.n_rows for run in self._runs) + len(hot)
        self._hot = hot

    @property
    def n_clips(self) -> int:
        """Number of clips of the fold."""
        return len(self._hot)

    def value(self) -> float:
        """Return the macro mean of all clips, averaged over the runs."""
        weights = np.ones((self.n_clips, 1))
        return float(np.mean([macro_mean(run.scores(weights)) for run in self._runs]))

    def by_class(self, weights: np.ndarray) -> np.ndarray:
        """Return the score of each class (C, b) under weights (n, b), averaged over the runs."""
        return np.mean([run.scores(weights) for run in self._runs], axis=0)

    def without(self, of_clip: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Return the score of each class without each unit (C, units), in bounded memory."""
        parts = [self.by_class(w) for w in self._weightings(of_clip, present)]
        return np.concatenate(parts, axis=1)

    def shares(self, units: Units, fold: int) -> np.ndarray:
        """Return each unit's share of a class's positives or negatives, the larger, (C, units)."""
        present = np.unique(units.of_clip[fold])
        sides = [
            units.sums(fold, side.astype(np.float64))[present] for side in (self._hot, ~self._hot)
        ]
        return np.max([side / np.maximum(side.sum(axis=0), 1) for side in sides], axis=0).T

    def _weightings(self, of_clip: np.ndarray, present: np.ndarray) -> Iterator[np.ndarray]:
        chunk = max(1, int(_CHUNK_BYTES / (8 * _ARRAYS_PER_WEIGHTING * self._rows)))
        for start in range(0, len(present), chunk):
            yield (of_clip[:, None] != present[start : start + chunk]).astype(np.float64)


@dataclass(frozen=True)
class _Elsewhere:
    """Mean score of each class over the folds without a unit, (C, units), and how many they are."""

    mean: np.ndarray
    folds: np.ndarray


def _elsewhere(whole: np.ndarray, units: Units, present: np.ndarray) -> _Elsewhere:
    """Average the scores of classes (folds, C) over the folds without each unit ``present``."""
    absent = np.stack([~np.isin(present, of_fold) for of_fold in units.of_clip]).astype(np.float64)
    folds = (~np.isnan(whole)).T.astype(np.float64) @ absent
    total = np.nan_to_num(whole).T @ absent
    mean = np.divide(total, folds, out=np.full(total.shape, np.nan), where=folds > 0)
    return _Elsewhere(mean, folds)


def _changes(
    whole: np.ndarray, elsewhere: _Elsewhere, without: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Return the change of each class's score by leaving out each unit, (C, units).

    A unit that has the share h of a class moves the class's mean by 1 / (1 - h) times its
    influence. The factor sqrt(1 - h) makes the squared changes of a mean add up to its variance
    without bias (CR2 of Bell and McCaffrey 2002). If a unit contains a class alone in its fold, its
    change is that to the mean of the class's scores in the folds without the unit. If there is no
    such fold, the change is NaN, and the class leaves the mean.

    Args:
        whole: score of each class (C,).
        elsewhere: scores of the classes in the folds without each unit.
        without: scores without each unit, (C, units).
        shares: of the units in the classes, (C, units).
    """
    moved = (without - whole[:, None]) * np.sqrt(1 - shares)
    replaced = elsewhere.mean - whole[:, None]
    replaced *= np.sqrt(elsewhere.folds / (elsewhere.folds + 1))
    return np.where(np.isnan(without), replaced, moved)


def effective_units(folds: Sequence[SceneFold], units: Units | None = None) -> float:
    """Return the effective number of units behind a macro mean, over all folds.

    The precision of a class's score depends on the rarer of two kinds of unit: those with a clip of
    the class and those with a clip of another class. If the ``k`` classes have ``m_1, ..., m_k``
    units of the rarer kind, the mean has the precision of ``k * k / (1 / m_1 + ... + 1 / m_k)``
    units, from the sum of the variances of proportions. This is the number of all units if each
    unit has one class and the classes are equally frequent. Two exclusive classes count as one.

    Args:
        folds: the predictions of every test fold.
        units: of the clips; by default each clip is a unit.
    """
    units = units or clip_units([len(targets) for _, targets in folds])
    return float(sum(_effective(*fold, units, number) for number, fold in enumerate(folds)))


def _effective(probabilities: np.ndarray, targets: np.ndarray, units: Units, fold: int) -> float:
    hot = multi_hot(targets, probabilities.shape[2])
    sides = [(units.sums(fold, side) > 0).sum(axis=0) for side in (hot, ~hot)]
    rarer = np.minimum(*sides)
    if targets.ndim == 1 and len(rarer) == 2:
        rarer = rarer[:1]
    rarer = rarer[rarer > 0]
    return len(rarer) ** 2 / np.sum(1 / rarer) if len(rarer) else 0.0


def macro_mean(by_class: np.ndarray) -> np.ndarray:
    """Return the mean (b,) over the defined classes of (C, b); NaN where no class is defined."""
    defined = ~np.isnan(by_class)
    count = defined.sum(axis=0)
    total = np.where(defined, by_class, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
