"""The power of a comparison of two models, and the test set or seeds that a difference needs.

The power against a true difference is that of the test which the comparison makes, with the
variance that it estimated:

- The t test: the noncentral t distribution, with the comparison's degrees of freedom. A sign-flip
  test over groups has about the power of a t test at the level that it can attain: with six groups
  two of 64 outcomes, 0.031.
- McNemar's test: exact, over the number of clips on which the models differ. The share of such
  clips is the observed one, or the difference itself, if that is larger. A sign-flip test over
  averaged runs counts as McNemar's, with differences of the size of their root mean square.
- With an allowance for training noise both the t test and the sign-flip test have to reject: the
  smaller power of the two.

All tests are two-sided, at 5 %, without correction for several tasks. Variances are estimates, so
power and sample sizes are approximate: simulated test sets of 30 clips or 8 groups and more had a
power of 0.72 to 0.85 at the difference predicted for 0.8, the least with three differing seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.analysis.compare.paired import PairedDifference
from harness.analysis.compare.proportions import Flips, attainable_level, mcnemar_power
from harness.analysis.compare.ranks import SIGNIFICANCE
from harness.metrics.distributions import chi2_quantile, normal_tail
from harness.metrics.registry import find_metric
from harness.metrics.units import LEAST_FREEDOM
from harness.metrics.variance import Part, add_up

POWER = 0.8
_MOST_FREEDOM = 1e5  # the t distribution is nearly normal above it
_MOST_FLIPPED = 20_000  # the t test replaces McNemar's test above it
_MOST_UNITS, _MOST_SEEDS = 10**8, 10_000
_SMALLEST, _LARGEST = 1e-7, 1e6  # range of the search for a difference


@dataclass(frozen=True)
class Design:
    """The quantities that determine the power of a comparison.

    Attributes:
        parts: the variance of the difference: of the test units, then of training.
        flips: of an accuracy, what its sign-flip test flips.
        n_units: test units: groups, clips or files.
        seeds: probe seeds of both models.
        largest: the largest difference that is possible.
    """

    parts: tuple[Part, ...]
    flips: Flips | None = None
    n_units: int = 0
    seeds: tuple[int, int] = (1, 1)
    largest: float = np.inf

    @classmethod
    def of(cls, found: PairedDifference, metric: str) -> Design:
        """Return the design of a comparison that was made, in this metric."""
        n_units = found.n_clips if found.n_groups is None else found.n_groups
        largest = find_metric(metric).largest_difference
        return cls(found.parts, found.flips, n_units, found.seeds, largest)

    def power(self, difference: float) -> float:
        """Return the probability that a true difference is detected; NaN if nothing varies."""
        parts, flips = self._parts_at(difference), self.flips
        if flips is None or self._seeds_are_measured or flips.n * flips.share > _MOST_FLIPPED:
            return _t_power(parts, difference, SIGNIFICANCE)
        if flips.grouped:
            return _t_power(parts, difference, attainable_level(int(flips.n)))
        exact = mcnemar_power(flips, difference)
        return exact if len(parts) == 1 else min(exact, _t_power(parts, difference, SIGNIFICANCE))

    def smallest_difference(self, power: float = POWER) -> float:
        """Return the smallest difference with this power; infinite if none has it."""
        if not sum(part.variance for part in self.parts):
            return np.nan
        high = _SMALLEST
        while not self.power(high) >= power:
            if high > min(self.largest, _LARGEST):
                return np.inf
            high *= 2
        from scipy.optimize import brentq  # slow to import

        smallest = brentq(lambda d: self.power(d) - power, high / 2, high, xtol=1e-9)
        return float(smallest) if smallest <= self.largest else np.inf

    def units_for(self, difference: float, power: float = POWER) -> int | None:
        """Return how many groups or clips a difference needs with these seeds; None if none do.

        Units are assumed to have the size and variance of those of the test set.
        """
        least = LEAST_FREEDOM + 1 if self.flips is None or self.flips.grouped else 2

        def enough(n_units: int) -> bool:
            return self._with_units(n_units).power(difference) >= power

        return _first(enough, least, _MOST_UNITS)

    def seeds_for(self, difference: float, power: float = POWER) -> int | None:
        """Return how many probe seeds of each model a difference needs on this test set.

        None if no number is enough, or if training adds no noise.
        """
        if not self.training_variance:
            return None
        if self.seeds == (1, 1) and self.power(difference) >= power:
            return 1

        def enough(seeds: int) -> bool:
            return self.with_seeds(seeds).power(difference) >= power

        return _first(enough, 2, _MOST_SEEDS)

    @property
    def training_variance(self) -> float:
        """Variance that training adds to the difference."""
        return sum(part.variance for part in self.parts[1:])

    @property
    def _seeds_are_measured(self) -> bool:
        """Whether training noise is measured between seeds; an allowance has infinite freedom."""
        return any(np.isfinite(part.freedom) for part in self.parts[1:])

    def _parts_at(self, difference: float) -> tuple[Part, ...]:
        """Return the parts for a true difference, which requires that some clips differ."""
        if self.flips is None or self.flips.grouped:
            return self.parts
        size = max(self.flips.size, difference)
        least = difference * (size - difference) / self.flips.n
        units = dataclasses.replace(self.parts[0], variance=max(self.parts[0].variance, least))
        return (units, *self.parts[1:])

    def _with_units(self, n_units: int) -> Design:
        factor, units = n_units / self.n_units, self.parts[0]
        freedom = max(units.freedom * factor, 1.0)
        units = dataclasses.replace(units, variance=units.variance / factor, freedom=freedom)
        flips = self.flips and dataclasses.replace(self.flips, n=self.flips.n * factor)
        parts = (units, *self.parts[1:])
        return dataclasses.replace(self, parts=parts, flips=flips, n_units=n_units)

    def with_seeds(self, seeds: int) -> Design:
        """Return the design with two or more seeds of both models, whose variance is measured.

        Without training noise seeds change nothing.
        """
        if not self.training_variance:
            return self
        training = self.parts[1:]
        if not self._seeds_are_measured:
            one_seed = [part.variance / 2 for part in training] * 2
        elif training[0].bounded:
            # The variance of several seeds' mean and of the one seed.
            one_seed = [training[0].variance / (1 + 1 / max(self.seeds))] * 2
        elif len(training) == 1:  # the difference within draws
            one_seed = [training[0].variance * self.seeds[0]]
        else:
            one_seed = [part.variance * n for part, n in zip(training, self.seeds, strict=True)]
        between = (Part(variance / seeds, seeds - 1) for variance in one_seed)
        return dataclasses.replace(self, parts=(self.parts[0], *between), seeds=(seeds, seeds))


def _t_power(parts: tuple[Part, ...], difference: float, level: float) -> float:
    spread = add_up(parts)
    if not spread.parts or not level:
        return np.nan if level else 0.0
    total = spread.total
    error = np.sqrt(total.variance)
    critical, shift = spread.half_width(1 - level) / error, difference / error
    if total.freedom > _MOST_FREEDOM:
        return float(normal_tail(critical - shift) + normal_tail(critical + shift))
    critical = critical * _errors(total.freedom)
    return float(np.mean(normal_tail(critical - shift) + normal_tail(critical + shift)))


@lru_cache(maxsize=64)
def _errors(freedom: float) -> np.ndarray:
    """Return quantiles of an estimated standard error, over the true one: (1000,).

    The mean over them is the noncentral t distribution, which scipy cannot compute far from 0.
    """
    ranks = (np.arange(1000) + 0.5) / 1000
    return np.sqrt(chi2_quantile(ranks, freedom) / freedom)


def _first(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """Return the smallest number that is enough; None if none up to ``most`` is.

    All larger numbers must be enough too.
    """
    high = least
    while not enough(high):
        if high >= most:
            return None
        high = min(2 * high, most)
    low = high // 2 if high > least else least - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
