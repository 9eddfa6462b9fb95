"""Variances with their degrees of freedom: of test units, of training seeds, and their sum.

A score, or a difference of two, varies with the test set's units (groups or clips) and with the
training of probes or models. Each part is estimated with its own degrees of freedom. The sum has
the degrees of freedom of Welch and Satterthwaite (Satterthwaite 1946, Welch 1947). They are too
many if one part with few degrees of freedom dominates the sum and no similar part balances it, for
example if one model has several seeds and the other has one. Such parts are bounded instead
(Banerjee 1960): the squares of the half-widths of each part alone are added, and the coverage is at
least nominal for any shares of the parts.

The noise of the test units is counted twice, in the part of the units and in that of the seeds, so
intervals are slightly too wide if seeds hardly matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics.distributions import normal_quantile, t_quantile, t_tail
from harness.metrics.jackknife import Influence

LEVEL = 0.95
_LEAST_P = 1e-15  # the smallest p that is computed
_FLAT = 1e-12  # a smaller standard error is rounding


@dataclass(frozen=True)
class Part:
    """An estimated variance and its degrees of freedom.

    ``bounded`` parts are added by Banerjee's method.
    """

    variance: float
    freedom: float
    bounded: bool = False


@dataclass(frozen=True)
class Spread:
    """A sum of independent parts.

    Attributes:
        parts: the sum of the parts that are not bounded and the sum of those that are, as far as
            there are any; empty if nothing varies.
    """

    parts: tuple[Part, ...]

    @property
    def freedom_text(self) -> str:
        """The degrees of freedom of the parts as text."""
        return " and ".join(f"{part.freedom:.1f}" for part in self.parts) or "no"

    @property
    def total(self) -> Part:
        """The sum of the parts, with the degrees of freedom of Welch and Satterthwaite."""
        return _sum(self.parts)

    def half_width(self, level: float = LEVEL) -> float:
        """Return half the width of the t interval, by default at 95 %."""
        return self._half_width((1 - level) / 2)

    def p_within(self, value: float, margin: float) -> float:
        """Return the p-value of the equivalence test by two one-sided tests (Schuirmann 1987).

        The null hypothesis is that the true value lies outside -margin to +margin. The larger p of
        both tests is returned.
        """
        inside = margin - abs(value)
        p = self.p(inside) / 2
        return p if inside > 0 else 1 - p

    def p(self, value: float) -> float:
        """Return the two-sided p-value of ``value`` if the true value is 0.

        It is 1 for a value of 0, and otherwise NaN if nothing varies.
        """
        if value == 0:
            return 1.0
        if not self.parts:
            return np.nan
        if len(self.parts) == 1:
            (part,) = self.parts
            return float(2 * t_tail(abs(value) / np.sqrt(part.variance), part.freedom))
        if self._half_width(_LEAST_P / 2) <= abs(value):
            return _LEAST_P

        def beyond(tail: float) -> float:
            return self._half_width(tail) - abs(value)

        from scipy.optimize import brentq  # slow to import

        return 2 * float(brentq(beyond, _LEAST_P / 2, 0.5, xtol=_LEAST_P / 2))

    def _half_width(self, tail: float) -> float:
        """Return half the width of the interval that leaves out ``tail`` on either side."""
        widths = [t_quantile(tail, part.freedom) ** 2 * part.variance for part in self.parts]
        return float(np.sqrt(sum(widths)))


def add_up(parts: Iterable[Part]) -> Spread:
    """Return the spread of a sum of independent parts."""
    parts = [part for part in parts if part.variance > 0]
    kinds = ([p for p in parts if not p.bounded], [p for p in parts if p.bounded])
    return Spread(tuple(_sum(of_kind) for of_kind in kinds if of_kind))


def _sum(parts: Sequence[Part]) -> Part:
    total = sum(part.variance for part in parts)
    freedom = total**2 / sum(part.variance**2 / part.freedom for part in parts)
    return Part(total, freedom, parts[0].bounded)


def of_units(found: Influence) -> Part:
    """Return the part of the test units in a score's variance, or in that of a difference.

    The degrees of freedom are units minus strata, reduced by the kurtosis of the influences: the
    relative variance of a variance estimate is 2 / freedom + kurtosis / units. If a few units carry
    most of the variance, because they are large or contain the few wrong answers, few degrees
    remain. The effective number of units limits those of a macro mean.
    """
    units = found.units
    if units.freedom < 1:
        return Part(np.nan, 0)
    limit = min(units.freedom, found.worth - len(units.stratum_sizes))
    if found.variance < _FLAT**2:
        return Part(0.0, limit)
    excess = units.n_units * float((found.moves**4).sum()) / found.variance**2 - 3
    freedom = 2 / (2 / units.freedom + max(excess, 0.0) / units.n_units)
    return Part(found.variance, min(freedom, limit))


def training_allowance(clip_variance: float, answers: float, runs: int, icc: float) -> float:
    """Return the assumed variance of a score over trainings of the probe.

    It is used if seeds were not repeated. ``icc`` refers to differences between two trainings, each
    of which has half of the variance. The variance is divided by the number of averaged runs.

    Args:
        clip_variance: variance of the score over independent clips.
        answers: number of clips, or events, that one trained probe answers.
        runs: number of trained probes over which the score is averaged.
        icc: correlation of the changes of answers between two trainings (``Metric.training_icc``).
    """
    return clip_variance * icc / 2 * answers / runs


def between_seeds(*sides: Sequence[float] | np.ndarray) -> list[Part]:
    """Return the parts of both sides' seeds, from their scores; none if no side has several.

    If one side has one seed, the variance of the other side's seeds is used for both. This is one
    estimate for two sides, so the part is bounded.
    """
    several = [side for side in sides if len(side) > 1]
    parts = [of_seeds(side) for side in several]
    if len(parts) != 1:
        return parts
    (part,) = parts
    # The variance of the several seeds' mean, and of the one seed.
    return [Part(part.variance * (1 + len(several[0])), part.freedom, bounded=True)]


def of_seeds(values: Sequence[float] | np.ndarray) -> Part:
    """Return the part of one side's seeds, two or more, from their scores (seeds,)."""
    # The mean of equal scores can be rounded, which would give a variance above 0.
    variance = float(np.var(values, ddof=1)) if np.ptp(values) else 0.0
    return Part(variance / len(values), len(values) - 1)


def of_equal_answers(answers: float, freedom: float) -> Part:
    """Return the part of equal answers, whose sample variance is 0.

    Its 95 % interval has the half-width :func:`flat_half_width`.
    """
    half = flat_half_width(answers)
    return Part(float((half / t_quantile((1 + LEVEL) / 2, freedom)) ** 2), freedom)


def flat_half_width(answers: float) -> float:
    """Return the width of Wilson's score interval (1927) of a share of equal answers.

    The other end of the interval is the share itself.
    """
    critical = float(normal_quantile((1 + LEVEL) / 2))
    return critical**2 / (answers + critical**2)


def scaled(parts: Iterable[Part], factor: float) -> list[Part]:
    """Return the parts of a quantity multiplied by ``factor``."""
    return [dataclasses.replace(part, variance=part.variance * factor**2) for part in parts]
