"""Intervals and p values of differences whose variance has several parts.

A difference of two models varies with the test clips and with the seeds that trained the probes
(or the models). Each part is estimated with its own degrees of freedom; the sum has Welch and
Satterthwaite's (Satterthwaite 1946, Welch 1947).

The noise that clips add to each seed alone is in the part of the clips and in that of the seeds,
which makes an interval rather too wide than too narrow where seeds hardly matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.scoring.intervals import LEVEL


@dataclass(frozen=True)
class Part:
    """A variance, and the degrees of freedom that it was estimated with."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Spread:
    """Several parts added up: standard error and degrees of freedom (infinite without parts)."""

    error: float
    freedom: float

    def half_width(self) -> float:
        """Half the width of the 95 % t interval."""
        return float(stats.t.ppf((1 + LEVEL) / 2, self.freedom) * self.error) if self.error else 0.0

    def p(self, value: float) -> float:
        """Two-sided p of a value, were the truth 0: 1 where nothing differs or varies."""
        if not self.error:
            return 1.0 if value == 0 else np.nan
        return float(2 * stats.t.sf(abs(value) / self.error, self.freedom))


def add_up(parts: Iterable[Part]) -> Spread:
    """Return the spread of a sum of independent parts."""
    parts = [part for part in parts if part.variance > 0]
    total = sum(part.variance for part in parts)
    if not total > 0:
        return Spread(0.0, np.inf)
    freedom = total**2 / sum(part.variance**2 / part.freedom for part in parts)
    return Spread(float(np.sqrt(total)), freedom)


def of_clips(draws: np.ndarray, n_clips: int, n_folds: int) -> Part:
    """Return the part of the clips from bootstrap draws of a difference, (n_boot,).

    Needs more clips than folds. Draws that a resample leaves undefined, NaN, are left out.
    """
    freedom = n_clips - n_folds
    # Resampling n clips of a fold varies by (n - 1) / n too little.
    return Part(float(np.nanvar(draws)) * n_clips / freedom, freedom)


def of_seeds(values: Sequence[float] | np.ndarray) -> Part:
    """Return the part of one side's seeds, two or more, from their scores (seeds,)."""
    # Equal scores have no variance, whatever rounding makes of their mean.
    variance = float(np.var(values, ddof=1)) if np.ptp(values) else 0.0
    return Part(variance / len(values), len(values) - 1)


def scaled(parts: Iterable[Part], factor: float) -> list[Part]:
    """Return the parts of ``factor`` times what they are the parts of."""
    return [Part(part.variance * factor**2, part.freedom) for part in parts]
