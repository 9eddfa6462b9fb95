"""Differences of two arms of a study, with 95 % intervals over training seeds and test units.

The estimand is the difference between two arms that are trained with all seeds and tested on all
units (groups, or clips) of such tasks. Its variance is the sum of two:

- test units: the jackknife over the units that all models of a task share
  (:mod:`harness.analysis.compare.influences`). Clips that are difficult for both arms cancel. The
  tasks are fixed.
- seeds: the variance of each arm's seeds, divided by their number. The degrees of freedom are those
  of Welch and Satterthwaite (:mod:`harness.metrics.variance`): seeds - 1 for an arm, and those of
  the units for a task.

With two seeds per arm the interval is wide. The slow tests of this module simulate its coverage and
require 92 %; if the standard deviation of one arm's seeds is five times that of the other's, they
require 90 % with three seeds per arm and 88 % with two.

Intervals do not cover another pretraining corpus, another split of a task, or other tasks, and are
not corrected for several arms. Holm's correction is over the tasks of one arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.compare.ranks import SIGNIFICANCE
from harness.metrics.jackknife import Influence
from harness.metrics.units import LEAST_FREEDOM, Units
from harness.metrics.variance import add_up, between_seeds, of_units, scaled

# Indexed by the number of arms, of two, that have several seeds.
_COVERED = (
    "test units alone: one seed per arm",
    "seeds and test units, both arms' seeds assumed to have the same variance",
    "seeds and test units",
)


@dataclass(frozen=True)
class ArmScores:
    """Scores of one arm's seeds on tasks.

    Attributes:
        values: (seeds, tasks); NaN if missing.
        moves: per task (seeds, units): influence of each test unit on each seed's score; NaN if
            missing.
    """

    values: np.ndarray
    moves: tuple[np.ndarray, ...]

    def complete(self, tasks: Sequence[int]) -> np.ndarray:
        """Return the rows of the seeds that have a score on each of some tasks."""
        return np.flatnonzero(~np.isnan(self.values[:, np.array(tasks, int)]).any(axis=1))

    def means(self, tasks: Sequence[int]) -> np.ndarray:
        """Return the mean over some tasks of each seed that has them all."""
        return self.values[np.ix_(self.complete(tasks), np.array(tasks, int))].mean(axis=1)


@dataclass(frozen=True)
class ArmDifference:
    """A difference of two arms; NaN if it cannot be computed.

    ``method`` contains the test and what the interval covers; ``p`` is two-sided.
    """

    value: float
    low: float
    high: float
    method: str
    p: float = np.nan


@dataclass(frozen=True)
class NoiseFloor:
    """Standard deviation (ddof 1) and largest difference of one arm's seeds.

    Both are NaN with fewer than two seeds.
    """

    sd: float
    largest: float


def difference(
    arm: ArmScores, other: ArmScores, tasks: Sequence[int], units: Sequence[Units]
) -> ArmDifference:
    """Return ``arm`` minus ``other`` in the mean over some tasks.

    Args:
        arm, other: scores on the same tasks.
        tasks: the columns of the tasks; only seeds that have all of them are used.
        units: the test units of every task.
    """
    chosen = list(tasks)
    sides = [(each, each.complete(chosen)) for each in (arm, other)]
    if not chosen or not all(len(rows) for _, rows in sides):
        return ArmDifference(np.nan, np.nan, np.nan, "none: no seed has a score on every task")
    means = [side.means(chosen) for side, _ in sides]
    value = float(means[0].mean() - means[1].mean())
    parts = []
    for task in chosen:
        if units[task].freedom < LEAST_FREEDOM:
            noun = units[task].noun
            return ArmDifference(value, np.nan, np.nan, f"none: too few test {noun} of a task")
        moves = [side.moves[task][rows].mean(axis=0) for side, rows in sides]
        of_task = of_units(Influence(value, moves[0] - moves[1], units[task]))
        parts += scaled([of_task], 1 / len(chosen))
    spread = add_up([*parts, *between_seeds(*means)])
    half = spread.half_width()
    covered = _COVERED[sum(len(of_arm) > 1 for of_arm in means)]
    method = f"t with {spread.freedom_text} degrees of freedom, {covered}"
    method = method if half else "none: no spread"
    return ArmDifference(value, value - half, value + half, method, spread.p(value))


def noise_floor(arm: ArmScores, tasks: Sequence[int]) -> NoiseFloor:
    """Return the noise floor of an arm in the mean over some tasks."""
    means = arm.means(tasks)
    if len(means) < 2:
        return NoiseFloor(np.nan, np.nan)
    return NoiseFloor(float(means.std(ddof=1)), float(np.ptp(means)))


def ordering(found: ArmDifference, floor: NoiseFloor, p: float) -> str:
    """Return in words whether a difference orders its two arms.

    It does if it is larger than the largest difference between seeds of the reference arm, and its
    corrected ``p`` is below 0.05.
    """
    if np.isnan(found.value):
        return "not known"
    if np.isnan(floor.largest):
        return "no ordering: no noise floor with one seed"
    if abs(found.value) <= floor.largest:
        return "no ordering: inside the noise floor"
    if np.isnan(p):
        return "no ordering: there is no interval"
    if p >= SIGNIFICANCE:
        return f"no ordering: p = {p:.2g}"
    return "higher" if found.value > 0 else "lower"
