"""95 % intervals of scores, from resampling the test set.

They say how far a score would move on another test set of the same make-up, and are conditional on
the trained probes. In k-fold tasks clips are resampled within each test fold, each fold is scored,
and the folds' scores are averaged; several runs of a probe are scored one by one in the same
resample and averaged. With every clip drawn once that is the reported score itself
(``scene_value``, ``event_value``).

A class, or a fold, may be undefined in a resample although it is defined in the test set. A macro
mean is then taken over the classes that the resample defines, and a resample that leaves a whole
fold undefined is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.scoring.event_scores import EventCounts, event_values, n_answers, parts_of
from harness.scoring.ranking import Ranking
from harness.scoring.scores import (
    ACCURACIES,
    check_metric,
    check_shapes,
    class_values,
    correct,
    macro_mean,
    multi_hot,
)

LEVEL = 0.95
FEW_FILES = 30
# Accuracies are resampled from a handful of counts: many more resamples cost nothing.
_N_BOOT_COUNTS = 10_000
_CHUNK_BYTES = 300e6
_ARRAYS_PER_WEIGHTING = 10  # of ``Ranking.n_segments`` float64, alive at once in ``scores``
_FLAT = 1e-12
_BOUNDS = {"d_prime": (-np.inf, np.inf), "segment_1s_er": (0.0, np.inf)}  # others lie in [0, 1]

SceneFold = tuple[np.ndarray, np.ndarray]
"""Probabilities (runs, n, C) and targets, (n,) or (n, C), of one test fold."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low, high: its ends; NaN where none can be given, and ``method`` says why.
        method: how it was made, in words.
        n_boot: resamples drawn; 0 where the method draws none.
    """

    low: float
    high: float
    method: str
    n_boot: int


def scene_value(metric: str, folds: Sequence[SceneFold]) -> float:
    """Return the reported score: the mean over folds of the mean over runs."""
    check_metric(metric)
    if metric in ACCURACIES:
        return float(np.mean([_correct(metric, fold).mean(axis=1).mean() for fold in folds]))
    return float(
        np.mean([_Resampler(metric, fold).values(_once(fold[0].shape[1]))[0] for fold in folds])
    )


def scene_answers(folds: Sequence[SceneFold]) -> float:
    """Return how many labels of clips the score is counted from, over all folds; a clip has one."""
    return float(sum(max(len(targets), targets.sum() * (targets.ndim - 1)) for _, targets in folds))


def scene_worth(folds: Sequence[SceneFold]) -> float:
    """Return of how many clips' labels a macro mean is worth, over all folds.

    A class is known as well as the rarer of its two sides, the clips that are of it and those that
    are not, and ``k`` classes of ``m_1, ..., m_k`` such clips give a mean as well known as that of
    ``k * k / (1 / m_1 + ... + 1 / m_k)``, the variances of proportions added: all of them where
    classes are equally frequent. Two classes of which each clip has one are one question.
    """
    return float(sum(_worth(*fold) for fold in folds))


def _worth(probabilities: np.ndarray, targets: np.ndarray) -> float:
    hot = multi_hot(targets, probabilities.shape[2])
    of_class = hot.sum(axis=0)
    rarer = np.minimum(of_class, len(hot) - of_class)
    if targets.ndim == 1 and len(rarer) == 2:
        rarer = rarer[:1]
    rarer = rarer[rarer > 0]
    return len(rarer) ** 2 / np.sum(1 / rarer) if len(rarer) else 0.0


def scene_interval(
    metric: str, folds: Sequence[SceneFold], n_boot: int = 1000, seed: int = 0
) -> Interval:
    """Interval of a scene score over the clips of its test set.

    Accuracies: the plain bootstrap gives [1, 1] when every clip is right, and is too narrow near
    1. So the clips' mean correctness is drawn from its Dirichlet posterior instead (the Bayesian
    bootstrap), with half a wrong and half a right clip added, shared among the folds. For one fold
    and one run that is the Jeffreys interval, Beta(k + 1/2, n - k + 1/2), whose coverage is close
    to nominal from n = 1 on (Brown, Cai and DasGupta 2001); as they do, the interval is widened to
    hold the score where it would not, at 0 and 1. At least 10,000 draws.

    mAP, AUC, d': resampled clips are ties, which lift average precision and bend d' (on 1,000
    clips of 100 classes mAP rises by more than its interval's width, and the percentile interval
    mostly misses the truth). So the percentiles are taken of
    ``value + resampled - mean(resampled)``, whose coverage the slow tests of this module simulate:
    AUC on small test sets is the hardest, and asked for 88 of 100 only. It is the interval of the
    mean score over test sets of this size. Where all resamples score alike, as at 1, it is Wilson's
    for as many equal answers (:func:`flat_half_width`); d', which has no bound, has none then.

    Args:
        metric: a name in ``harness.scoring.scores.METRICS``.
        folds: per test fold the probabilities (runs, n, C) and the targets.
        n_boot: resamples of the clips.
        seed: of the resampling; equal seeds and fold sizes draw the same clips.
    """
    value = scene_value(metric, folds)
    rngs = np.random.default_rng(seed).spawn(len(folds))
    if metric in ACCURACIES:
        n_boot = max(n_boot, _N_BOOT_COUNTS)
        draws = np.mean(
            [
                _posterior_accuracies(
                    _correct(metric, fold).mean(axis=0), 0.5 / len(folds), n_boot, rng
                )
                for fold, rng in zip(folds, rngs, strict=True)
            ],
            axis=0,
        )
        low, high = np.quantile(draws, _tails())
        method = "Jeffreys-smoothed bootstrap over clips"
        return Interval(min(float(low), value), max(float(high), value), method, n_boot)
    draws = scene_draws(metric, folds, n_boot, seed)
    return _centred(metric, value, draws, "clips", scene_worth(folds))


def scene_draws(
    metric: str, folds: Sequence[SceneFold], n_boot: int = 1000, seed: int = 0
) -> np.ndarray:
    """Scores (n_boot,) of resamples: clips drawn with replacement within each fold.

    Equal ``n_boot``, seeds and fold sizes draw the same clips, so that the draws of two models on
    one task are paired. NaN where a resample leaves a fold undefined.
    """
    check_metric(metric)
    rngs = np.random.default_rng(seed).spawn(len(folds))
    kind = _Accuracy if metric in ACCURACIES else _Resampler
    return np.mean(
        [kind(metric, fold).draw(n_boot, rng) for fold, rng in zip(folds, rngs, strict=True)],
        axis=0,
    )


def event_value(
    metric: str, folds: Sequence[Sequence[EventCounts]], part: str | None = None
) -> float:
    """Return the reported score: the mean over folds of the mean over runs."""
    return float(_fold_means(metric, part, [fold.sum(axis=1) for fold in _stacked(folds)]))


def event_answers(
    metric: str, folds: Sequence[Sequence[EventCounts]], part: str | None = None
) -> float:
    """Return how many events or label-segments the score is a share of, over all folds."""
    part = part or parts_of(metric)[0]
    return sum(float(n_answers(fold.sum(axis=1), part).mean()) for fold in _stacked(folds))


def event_interval(
    metric: str,
    folds: Sequence[Sequence[EventCounts]],
    n_boot: int = 1000,
    seed: int = 0,
    part: str | None = None,
) -> Interval:
    """Interval of an event score over the files of its test set.

    From 30 files on, files are resampled and their counts added up. Below that resampling is too
    narrow, and the BCa correction does not mend it, so a t interval with the jackknife's standard
    error is given, with one degree of freedom per file less one per fold; ``method`` then says
    "few files". A fold of one file has no spread to estimate: no interval. Where all files agree,
    as at 1, it is Wilson's for as many equal events (:func:`flat_half_width`).

    Args:
        metric: a name in ``harness.scoring.events.METRICS``.
        folds: per test fold the counts of every run, over the same files.
        n_boot: resamples of the files.
        seed: of the resampling; equal seeds and fold sizes draw the same files.
        part: one of :func:`harness.scoring.event_scores.parts_of`; the metric's own value without.
    """
    part = part or parts_of(metric)[0]
    value = event_value(metric, folds, part)
    counts = _stacked(folds)
    answers = event_answers(metric, folds, part)
    sizes = [fold.shape[1] for fold in counts]
    if min(sizes) < 2:
        return Interval(np.nan, np.nan, "none: a test fold of one file", 0)
    if sum(sizes) < FEW_FILES:
        return _jackknife(metric, part, value, counts, answers)
    draws = event_draws(metric, folds, n_boot, seed, part)
    return _centred(metric, value, draws, "files", answers)


def event_draws(
    metric: str,
    folds: Sequence[Sequence[EventCounts]],
    n_boot: int = 1000,
    seed: int = 0,
    part: str | None = None,
) -> np.ndarray:
    """Scores (n_boot,) of resamples of the files; paired as those of :func:`scene_draws`."""
    counts = _stacked(folds)
    rngs = np.random.default_rng(seed).spawn(len(counts))
    resampled = [
        np.einsum("bf,rfk->rbk", _clip_weights(fold.shape[1], n_boot, rng).T, fold)
        for fold, rng in zip(counts, rngs, strict=True)
    ]
    return _fold_means(metric, part, resampled)


class _Accuracy:
    """An accuracy of one fold under weightings of its clips, averaged over the fold's runs."""

    def __init__(self, metric: str, fold: SceneFold) -> None:
        self._correctness = _correct(metric, fold).mean(axis=0)

    def draw(self, n_boot: int, rng: np.random.Generator) -> np.ndarray:
        """Values (n_boot,) of resamples, in chunks of bounded memory."""
        n = len(self._correctness)
        return np.concatenate(
            [self._correctness @ w / n for w in _weightings(n, n_boot, rng, 3 * n)]
        )


class _Resampler:
    """A macro metric of one fold under weightings of its clips, averaged over the fold's runs."""

    def __init__(self, metric: str, fold: SceneFold) -> None:
        probabilities, targets = fold
        for run in probabilities:
            check_shapes(run, targets)
        hot = multi_hot(targets, probabilities.shape[2])
        self._metric = metric
        self._n = len(hot)
        self._rankings = [Ranking(run, hot) for run in probabilities]

    def values(self, weights: np.ndarray) -> np.ndarray:
        """Weights (n, b) to values (b,)."""
        runs = [
            macro_mean(class_values(self._metric, ranking.scores(weights)))
            for ranking in self._rankings
        ]
        return np.mean(runs, axis=0)

    def draw(self, n_boot: int, rng: np.random.Generator) -> np.ndarray:
        """Values (n_boot,) of resamples, in chunks of bounded memory."""
        rows = max(ranking.n_segments for ranking in self._rankings) + self._n
        numbers = _ARRAYS_PER_WEIGHTING * rows
        return np.concatenate([self.values(w) for w in _weightings(self._n, n_boot, rng, numbers)])


def _once(n: int) -> np.ndarray:
    return np.ones((n, 1))


def _weightings(
    n: int, n_boot: int, rng: np.random.Generator, numbers: int
) -> Iterator[np.ndarray]:
    """The weights of n_boot resamples in chunks; a weighting takes so many float64 at once."""
    chunk = max(1, int(_CHUNK_BYTES / (8 * numbers)))
    for done in range(0, n_boot, chunk):
        yield _clip_weights(n, min(chunk, n_boot - done), rng)


def _clip_weights(n: int, n_boot: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of n clips is drawn in n draws with replacement: float64 (n, n_boot)."""
    drawn = rng.integers(0, n, size=(n_boot, n)) + n * np.arange(n_boot)[:, None]
    counts = np.bincount(drawn.reshape(-1), minlength=n * n_boot).reshape(n_boot, n)
    return np.ascontiguousarray(counts.T, dtype=np.float64)


def _correct(metric: str, fold: SceneFold) -> np.ndarray:
    """Whether each clip is right in each run, bool (runs, n)."""
    probabilities, targets = fold
    for run in probabilities:
        check_shapes(run, targets)
    return np.stack([correct(metric, run, targets) for run in probabilities])


def _posterior_accuracies(
    correctness: np.ndarray, prior: float, n_boot: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the mean of clips' correctness (n,) from its Dirichlet posterior: (n_boot,).

    ``prior`` clips are added at 0 and at 1; only the count of clips at each level matters.
    """
    levels, counts = np.unique(np.concatenate([correctness, [0.0, 1.0]]), return_counts=True)
    shape = counts.astype(np.float64)
    shape[[0, -1]] += prior - 1
    draws = rng.standard_gamma(shape, size=(n_boot, len(shape)))
    return draws @ levels / draws.sum(axis=1)


def _stacked(folds: Sequence[Sequence[EventCounts]]) -> list[np.ndarray]:
    """Counts of each fold as (runs, files, columns); the runs must have the same files."""
    for fold in folds:
        for run in fold[1:]:
            if run.files != fold[0].files:
                raise ValueError(
                    "the runs of a fold must be scored on the same files, in one order"
                )
    return [np.stack([run.counts for run in fold]) for fold in folds]


def _fold_means(metric: str, part: str | None, totals: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over folds of the mean over runs, from (runs, ..., columns) a fold: (...)."""
    return np.mean([event_values(metric, fold, part).mean(axis=0) for fold in totals], axis=0)


def _jackknife(
    metric: str, part: str, value: float, counts: Sequence[np.ndarray], answers: float
) -> Interval:
    variance = 0.0
    freedom = 0
    for fold in counts:
        n = fold.shape[1]
        others = fold.sum(axis=1, keepdims=True) - fold
        without_one = event_values(metric, others, part).mean(axis=0)
        variance += (n - 1) * without_one.var() / len(counts) ** 2
        freedom += n - 1
    if not np.isfinite(variance):
        return Interval(np.nan, np.nan, "none: the score is undefined without one of the files", 0)
    half_width = float(stats.t.ppf(_tails()[1], freedom) * np.sqrt(variance))
    n_files = sum(fold.shape[1] for fold in counts)
    method = f"jackknife t, few files ({n_files})"
    return _within_bounds(
        metric, value, (value - half_width, value + half_width), method, 0, answers
    )


def _centred(metric: str, value: float, draws: np.ndarray, units: str, answers: float) -> Interval:
    """Percentile interval of the draws, moved so that their mean is the value.

    It is widened to hold the value where it would not: nearly all draws may be equal, and the few
    that lack a class move their mean.
    """
    defined = draws[np.isfinite(draws)]
    if np.isnan(value) or not len(defined):
        return Interval(np.nan, np.nan, "none: the score is undefined", 0)
    low, high = np.quantile(value + defined - defined.mean(), _tails())
    method = f"centred percentile bootstrap over {units}"
    ends = min(float(low), value), max(float(high), value)
    return _within_bounds(metric, value, ends, method, len(draws), answers)


def _within_bounds(
    metric: str, value: float, ends: tuple[float, float], method: str, n_boot: int, answers: float
) -> Interval:
    """Clip to the metric's range; where there was no spread to measure, go by the answers."""
    low, high = ends
    if high - low < _FLAT:
        if metric == "d_prime":
            return Interval(np.nan, np.nan, "none: every resample gives the same score", n_boot)
        low, high = value - flat_half_width(answers), value + flat_half_width(answers)
        method += "; every resample gives the same score, so as Wilson's interval"
        method += " of as many equal answers"
    least, most = _BOUNDS.get(metric, (0.0, 1.0))
    return Interval(max(low, least), min(high, most), method, n_boot)


def flat_half_width(answers: float) -> float:
    """How far from the truth equal answers leave a share: Wilson's score interval (1927).

    All right, or all wrong, do not show that none would be otherwise. Its other end is the share.
    """
    critical = float(stats.norm.ppf(_tails()[1]))
    return critical**2 / (answers + critical**2)


def _tails() -> tuple[float, float]:
    return (1 - LEVEL) / 2, (1 + LEVEL) / 2
