"""Test and interval for the difference of two accuracies on the same clips.

A k-fold accuracy is the mean over folds, so a clip of a small fold has more weight. Test and
interval take this into account. Without folds, or with folds of one size, they are the standard
ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics.distributions import (
    binomial,
    binomial_quantile,
    binomial_tail,
    normal_quantile,
    normal_tail,
)
from harness.metrics.variance import LEVEL, Part

N_FLIPS = 19_999
# Largest number of outcomes that are enumerated; otherwise signs are drawn.
_EXACT = 1_000_000
_BESIDE = 1e-9
_ROOT_TO = 1e-12  # tolerance of the search for a root
_DIGITS = 12  # decimal digits to which steps and outcomes are compared


@dataclass(frozen=True)
class SignTest:
    """The two-sided p-value of a sign-flip test, and the test in words."""

    p: float
    method: str


@dataclass(frozen=True)
class Flips:
    """The differences whose signs a sign-flip test flips, summarised for its power.

    Attributes:
        n: number of groups; of clips the effective number over folds (:func:`score_interval`).
        grouped: whether they are groups.
        share: of the clips, those on which the models differ.
        size: root mean square of these clips' differences; 1 if none differs.
    """

    n: float
    grouped: bool = False
    share: float = 1.0
    size: float = 1.0


def clip_flips(differences: Sequence[np.ndarray]) -> Flips:
    """Return what is flipped of the clips' differences, per fold (n,)."""
    share = float(np.mean([(fold != 0).mean() for fold in differences]))
    square = float(np.mean([(fold**2).mean() for fold in differences]))
    size = float(np.sqrt(square / share)) if share else 1.0
    return Flips(_effective_clips(differences), share=share, size=size)


def sign_flip_test(differences: Sequence[np.ndarray], seed: int = 0) -> SignTest:
    """Return the sign-flip test of no difference between two models (Fisher 1935, section 21).

    Under the null hypothesis a clip's difference is as likely as its opposite. The statistic is
    the mean over folds of the folds' mean differences. If every difference is -1, 0 or 1, this is
    McNemar's test: a fair coin for each clip that only one model classifies correctly. All signs
    are enumerated if there are few enough distinct outcomes; otherwise 19,999 are drawn.

    Args:
        differences: per fold (n,), of the clips' mean correctness, in [-1, 1].
        seed: of the drawing.
    """
    sizes = np.concatenate([np.full(len(fold), len(fold)) for fold in differences])
    each = np.concatenate(differences)
    steps = np.round(each * sizes.max() / sizes, _DIGITS)
    observed = abs(steps.sum())
    levels, counts = np.unique(np.abs(steps[steps != 0]), return_counts=True)
    whole = bool(np.isin(each, (-1, 0, 1)).all())
    name = "McNemar" if whole else "sign-flip permutation"
    weighted = " weighted by fold" if len(set(sizes)) > 1 else ""
    if not len(levels):
        return SignTest(1.0, f"exact {name}")
    if np.prod(np.sort(counts)[:-1] + 1.0) <= _EXACT:
        return SignTest(_exact(levels, counts, observed), f"exact {name}{weighted}")
    rng = np.random.default_rng(seed)
    sums = np.zeros(N_FLIPS)
    for level, count in zip(levels, counts, strict=True):
        sums += level * (2 * rng.binomial(count, 0.5, N_FLIPS) - count)
    reached = int((np.round(np.abs(sums) - observed, _DIGITS // 2) >= 0).sum())
    return SignTest((1 + reached) / (1 + N_FLIPS), f"{name}{weighted}, {N_FLIPS:,} draws")


def _exact(levels: np.ndarray, counts: np.ndarray, observed: float) -> float:
    """P(|sum| >= observed) of the sum of level * (heads - tails) over levels."""
    order = np.argsort(counts)
    sums, chances = np.zeros(1), np.ones(1)
    for k in order[:-1]:
        heads = np.arange(counts[k] + 1)
        sums = (sums[:, None] + levels[k] * (2 * heads - counts[k])).reshape(-1)
        chances = (chances[:, None] * binomial(heads, counts[k], 0.5)).reshape(-1)
    last, n = levels[order[-1]], counts[order[-1]]
    # Heads of the most frequent level that carry a sum to at least +observed, by symmetry doubled.
    needed = np.ceil(np.round(((observed - sums) / last + n) / 2, _DIGITS // 2))
    upper = float((chances * binomial_tail(needed - 1, n, 0.5)).sum())
    return min(1.0, 2 * upper)


def mcnemar_power(flips: Flips, difference: float) -> float:
    """Return the power of McNemar's exact test at 5 %, two-sided, against a true difference.

    The number of clips on which the models differ is binomial, with the observed share, or that
    which the difference needs, if that is larger.
    """
    size = max(flips.size, difference)
    share = max(flips.share, difference / size)
    favoured = (1 + difference / (share * size)) / 2
    n = max(round(flips.n), 1)
    low, high = binomial_quantile((1e-9, 1 - 1e-9), n, share)
    differing = np.arange(low, high + 1)
    # The test rejects if more clips than this favour one model.
    least = binomial_quantile((1 + LEVEL) / 2, differing, 0.5)
    rejected = binomial_tail(least, differing, favoured)
    rejected += 1 - binomial_tail(differing - least - 1, differing, favoured)
    return float((binomial(differing, n, share) * rejected).sum())


def attainable_level(n: int) -> float:
    """Return the largest level, at most 5 %, of a sign-flip test of ``n`` differences."""
    outcomes = 2.0 ** (min(n, 50) - 1)  # with opposite signs counted once
    return float(np.floor((1 - LEVEL) * outcomes) / outcomes)


def score_interval(
    differences: Sequence[np.ndarray], design_effect: float = 1.0
) -> tuple[float, float]:
    """Return the 95 % score interval of the difference of two accuracies (Tango 1998).

    It contains the differences that the score test does not reject at 5 %. With folds, the shares
    of clips that only one model classifies correctly are means over folds, and the number of clips
    is Kish's effective number, folds² / sum(1 / clips of a fold) (Kish 1965), which is the number
    of clips if folds have one size.

    Args:
        differences: per fold (n,), each -1, 0 or 1.
        design_effect: the variance divided by that of independent clips; the effective number is
            divided by it.
    """
    critical = float(normal_quantile((1 + LEVEL) / 2))
    first, second = _shares(differences)
    found = first - second

    def excess(difference: float, sign: int) -> float:
        error = _score_error(differences, difference, design_effect)
        return sign * (difference - found) - critical * error

    # If nothing varies, the excess is 0 at the value itself, and negative beside it.
    low = _root(lambda d: excess(d, -1), found - _BESIDE, -1.0) if found > -1 else -1.0
    high = _root(lambda d: excess(d, 1), found + _BESIDE, 1.0) if found < 1 else 1.0
    return low, high


def _root(function: Callable[[float], float], below: float, above: float) -> float:
    """Return the root of a function between an argument where it is negative and one where not.

    The Illinois method (Dowell and Jarratt 1971). ``scipy.optimize`` takes longer to import than
    all intervals of a table together.
    """
    value_below, value_above = function(below), function(above)
    last = np.inf
    while value_above and abs(last - above) > _ROOT_TO:
        last = above
        middle = above - value_above * (above - below) / (value_above - value_below)
        value = function(middle)
        if value * value_above < 0:
            below, value_below = above, value_above
        else:
            value_below /= 2
        above, value_above = middle, value
    return above


def score_p_within(
    differences: Sequence[np.ndarray], margin: float, design_effect: float = 1.0
) -> float:
    """Return p of Tango's two one-sided tests that the difference is within -margin and +margin.

    The larger p of both. It is below 0.05 where the 90 % score interval is within the margin.

    Args:
        differences, design_effect: as of :func:`score_interval`.
        margin: between 0 and 1.
    """
    first, second = _shares(differences)
    inside = [margin + first - second, margin - first + second]
    errors = [_score_error(differences, end, design_effect) for end in (-margin, margin)]
    return float(max(normal_tail(np.array(inside) / np.array(errors))))


def _score_error(differences: Sequence[np.ndarray], difference: float, effect: float) -> float:
    """Return the standard error of the difference of two accuracies at a true difference."""
    n = _effective_clips(differences) / effect
    first, second = _shares(differences)
    # The maximum of the likelihood, given the difference, has ``second`` at this share.
    b = -first - second + (2 - first + second) * difference
    c = -second * difference * (1 - difference)
    share = (np.sqrt(max(b * b - 8 * c, 0.0)) - b) / 4
    variance = (2 * share + difference * (1 - difference)) / n
    return float(np.sqrt(max(variance, 0.0)))


def _effective_clips(differences: Sequence[np.ndarray]) -> float:
    return len(differences) ** 2 / sum(1 / len(fold) for fold in differences)


def _shares(differences: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the shares of clips that only the first, or only the second, model has correct."""
    first = np.mean([(fold > 0).mean() for fold in differences])
    second = np.mean([(fold < 0).mean() for fold in differences])
    return float(first), float(second)


def clip_part(differences: Sequence[np.ndarray], added: float = 0.0) -> Part:
    """Variance of the mean over folds of the folds' mean differences, of clips drawn within folds.

    Without ``added`` it is the jackknife's variance over clips.

    Args:
        differences: per fold (n,), of the clips' mean correctness; more clips than folds.
        added: weight of one added clip that only the first model has right, and of one that only
            the second has; shared among the folds.
    """
    n_folds = len(differences)
    freedom = sum(len(fold) for fold in differences) - n_folds
    total = 0.0
    for fold in differences:
        n = len(fold) + 2 * added / n_folds
        mean = fold.sum() / n
        total += (((fold**2).sum() + 2 * added / n_folds) / n - mean**2) / n
    return Part(total / n_folds**2 * (freedom + n_folds) / freedom, freedom)
