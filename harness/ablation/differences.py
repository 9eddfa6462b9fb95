"""How far two ways to train differ, with a 95 % interval over training seeds and test units.

The estimand is the difference between two arms if both were trained with all seeds and tested on
all units (groups, or clips) of the tasks' kind. It varies for two reasons, whose variances are
added:

- test units: the jackknife over units that all models of a task share
  (:mod:`harness.analysis.compare.influences`), so that what makes a clip hard for everyone cancels.
  The tasks themselves are fixed.
- seeds: the variance of each arm's own seeds over their number. The half-width is the t quantile at
  Welch's degrees of freedom (Welch 1947, Satterthwaite 1946: seeds - 1 for an arm, those of the
  units for a task; :mod:`harness.metrics.variance`).

With two seeds an arm the interval is wide. The slow tests of this module simulate its coverage and
require 92 of 100; where the seeds of one arm spread five times as much as the other's, 90 with
three seeds an arm and 88 with two.

Not covered: another pretraining corpus, another split of a task, other tasks, and that many arms
are compared at once; within one arm's tasks Holm's correction is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.compare.ranks import SIGNIFICANCE
from harness.metrics.jackknife import Influence
from harness.metrics.units import LEAST_FREEDOM, Units
from harness.metrics.variance import add_up, between_seeds, of_units, scaled

# By how many of the two arms have several seeds.
_COVERED = (
    "test units alone: one seed an arm",
    "seeds and test units, seeds of the arm with one assumed to vary as the other's",
    "seeds and test units",
)


@dataclass(frozen=True)
class ArmScores:
    """Scores of one arm's seeds on tasks.

    Attributes:
        values: (seeds, tasks); NaN where there is none.
        moves: per task (seeds, units): how much each test unit moves each seed's score; NaN where
            there is none.
    """

    values: np.ndarray
    moves: tuple[np.ndarray, ...]

    def complete(self, tasks: Sequence[int]) -> np.ndarray:
        """Rows of the seeds that have a score on each of some tasks."""
        return np.flatnonzero(~np.isnan(self.values[:, np.array(tasks, int)]).any(axis=1))

    def means(self, tasks: Sequence[int]) -> np.ndarray:
        """Mean over some tasks for each seed that has them all."""
        return self.values[np.ix_(self.complete(tasks), np.array(tasks, int))].mean(axis=1)


@dataclass(frozen=True)
class ArmDifference:
    """A difference of two arms; NaN where it cannot be told.

    ``method`` says what the interval covers; ``p`` is two-sided, of no difference.
    """

    value: float
    low: float
    high: float
    method: str
    p: float = np.nan


@dataclass(frozen=True)
class NoiseFloor:
    """How far seeds of one arm lie apart: standard deviation (ddof 1), and the largest difference.

    NaN with fewer than two seeds.
    """

    sd: float
    largest: float


def difference(
    arm: ArmScores, other: ArmScores, tasks: Sequence[int], units: Sequence[Units]
) -> ArmDifference:
    """Return ``arm`` less ``other`` in the mean over some tasks.

    Args:
        arm, other: on the same tasks.
        tasks: columns to take; only seeds that have them all count.
        units: of every task's test set.
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
    """Return how far an arm's seeds lie apart in the mean over some tasks."""
    means = arm.means(tasks)
    if len(means) < 2:
        return NoiseFloor(np.nan, np.nan)
    return NoiseFloor(float(means.std(ddof=1)), float(np.ptp(means)))


def ordering(found: ArmDifference, floor: NoiseFloor, p: float) -> str:
    """Say in words whether a difference orders its two arms.

    It does when it is larger than the largest difference between seeds of the reference arm, and
    its ``p``, corrected for what was looked at besides, is below 0.05.
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
