"""Intervals and p values of differences whose variance has several parts.

A difference of two models varies with the test clips and with the seeds that trained the probes
(or the models). Each part is estimated with its own degrees of freedom; the sum has Welch and
Satterthwaite's (Satterthwaite 1946, Welch 1947). That is too many where a part of few degrees of
freedom is most of the sum and nothing of its kind balances it: one model's seeds, where the other
has one. Such parts are bounded instead (Banerjee 1960): the squares of the half-widths that each
would have alone add up, which covers at least as often as asked, whatever the shares are.

The noise that clips add to each seed alone is in the part of the clips and in that of the seeds,
which makes an interval rather too wide than too narrow where seeds hardly matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from harness.scoring.intervals import LEVEL, flat_half_width

_LEAST_P = 1e-15  # what is smaller is not told from it


@dataclass(frozen=True)
class Part:
    """A variance, and the degrees of freedom that it was estimated with.

    ``bounded`` parts are added as Banerjee does.
    """

    variance: float
    freedom: float
    bounded: bool = False


@dataclass(frozen=True)
class Spread:
    """Several parts added up: one by Welch and Satterthwaite, and one more where some are bounded.

    Without parts nothing varies.
    """

    parts: tuple[Part, ...]

    @property
    def freedom_text(self) -> str:
        """The degrees of freedom in words."""
        return " and ".join(f"{part.freedom:.1f}" for part in self.parts) or "no"

    def half_width(self) -> float:
        """Half the width of the 95 % t interval."""
        return self._half_width((1 - LEVEL) / 2)

    def p(self, value: float) -> float:
        """Two-sided p of a value, were the truth 0: 1 where nothing differs or varies."""
        if value == 0:
            return 1.0
        if not self.parts:
            return np.nan
        if len(self.parts) == 1:
            (part,) = self.parts
            return float(2 * stats.t.sf(abs(value) / np.sqrt(part.variance), part.freedom))
        if self._half_width(_LEAST_P / 2) <= abs(value):
            return _LEAST_P

        def beyond(tail: float) -> float:
            return self._half_width(tail) - abs(value)

        return 2 * float(optimize.brentq(beyond, _LEAST_P / 2, 0.5, xtol=_LEAST_P / 2))

    def _half_width(self, tail: float) -> float:
        """Half the width of the interval that leaves ``tail`` out on either side."""
        widths = [stats.t.isf(tail, part.freedom) ** 2 * part.variance for part in self.parts]
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


def of_clips(draws: np.ndarray, n_clips: int, n_folds: int) -> Part:
    """Return the part of the clips from bootstrap draws of a difference, (n_boot,).

    Needs more clips than folds. Draws that a resample leaves undefined, NaN, are left out.
    """
    freedom = n_clips - n_folds
    # Resampling n clips of a fold varies by (n - 1) / n too little.
    return Part(float(np.nanvar(draws)) * n_clips / freedom, freedom)


def between_seeds(*sides: Sequence[float] | np.ndarray) -> list[Part]:
    """Return the parts of both sides' seeds, from their scores; none where no side has several.

    One seed beside several is taken to spread as they do. That is one estimate for both sides, and
    bounded.
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
    # Equal scores have no variance, whatever rounding makes of their mean.
    variance = float(np.var(values, ddof=1)) if np.ptp(values) else 0.0
    return Part(variance / len(values), len(values) - 1)


def of_equal_answers(answers: float, freedom: float) -> Part:
    """Return the part of clips or events that all say the same, so that none varies.

    Its 95 % interval is as wide as theirs (:func:`harness.scoring.intervals.flat_half_width`).
    """
    half = flat_half_width(answers)
    return Part(float((half / stats.t.ppf((1 + LEVEL) / 2, freedom)) ** 2), freedom)


def scaled(parts: Iterable[Part], factor: float) -> list[Part]:
    """Return the parts of ``factor`` times what they are the parts of."""
    return [dataclasses.replace(part, variance=part.variance * factor**2) for part in parts]
