"""The difference of two models on one task, paired unit by unit.

Units are the task's groups of clips, or its clips (:mod:`harness.metrics.units`). Test and interval
depend on what there is:

- One probe a model, an accuracy, no groups: exact McNemar test, Tango's score interval
  (:mod:`harness.analysis.compare.proportions`). The same with runs of a probe averaged within a
  seed: a sign-flip permutation of the clips' mean differences, and a t interval to which half a
  clip a model is added.
- One probe a model, an accuracy, groups: a sign-flip permutation of the groups' total differences,
  and a t interval.
- One probe a model, another metric: t test and interval on the jackknife's standard error over
  units. Without groups half an answer a model is added (a label of a clip, an event).
- Several probe seeds of a model, any metric: the same t interval, of the scores' means over seeds,
  with the variance between seeds added (:mod:`harness.metrics.variance`). If one model has several
  seeds and the other has one, both are assumed to have the same variance.

Degrees of freedom: :func:`harness.metrics.variance.of_units`. With fewer than six groups, or files
or clips of a metric that is no accuracy, there is no interval and no p. If no unit moves the
difference, as of two perfect models, the width is that of Wilson's interval of as many equal
answers.

Seeds whose predictions are all equal count as one probe, if they do so on both sides; by a
protocol with randomness equal seeds beside others that differ are seeds without a spread.

With one probe a model, test units alone distinguish two trained probes, not two models: on a
thousand clips two seeds of one model are called different far more often than in 5 of 100 trials
(``results/seed_noise.csv``, column ``clips_alone``), since many of their answers change together.
So where a protocol is random, an allowance is added: the variance over independent clips times
``ICC * n`` for n clips whose changes have the correlation ICC (the design effect of Kish 1965,
less 1). In k-fold n is a fold's clips, since each fold has probes of its own, and runs that are
averaged divide it. One seed cannot measure its own ICC, so the coverage of such intervals is
approximate, and they are wide: of 5,000 clips, 15 % right by one model alone, differences below
0.055 stay undecided, where clips alone would decide at 0.011. Several seeds measure their spread
and need no allowance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.compare.measured import Measured, check_paired, measure
from harness.analysis.compare.one_probe import FLAT, by_clip, flips, is_mcnemars, one_probe_test
from harness.analysis.compare.proportions import Flips, clip_part, score_p_within
from harness.metrics.intervals import TRAINING_ALLOWED
from harness.metrics.jackknife import Influence, mean_influence
from harness.metrics.units import FEW_UNITS, LEAST_FREEDOM
from harness.metrics.variance import (
    Part,
    add_up,
    between_seeds,
    of_equal_answers,
    of_units,
    training_allowance,
)
from harness.results.frames import EQUAL_DIGITS
from harness.results.record import Record

# Of a clip, or of another answer that a score is counted from, where no seeds add a variance: as in
# the Jeffreys interval of one proportion; Bonett and Price (2012) add a whole one, with which the
# interval of averaged runs is wider than asked.
_ADDED = 0.5


@dataclass(frozen=True)
class PairedDifference:
    """``a`` less ``b`` in the primary metric of one task; NaN where it cannot be told.

    Attributes:
        value: the difference of the reported scores, means over seeds.
        low, high: its 95 % interval.
        p: two-sided, of no difference.
        method: test and interval in words, and what they cover.
        n_clips: test clips, of all folds; files, of an event task.
        seeds: probe seeds of ``a`` and ``b``.
        parts: what its variance is made of, for a mean over tasks and for power: first the part of
            the test units, then those of training.
        n_groups: test groups; None where clips are the units.
        design_effect: variance over groups divided by that over single clips.
        flips: of an accuracy, what a sign-flip test flips, for its power.
        p_equivalent: of a difference of a margin or more, by two one-sided tests; NaN without a
            margin.
    """

    value: float
    low: float
    high: float
    p: float
    method: str
    n_clips: int
    seeds: tuple[int, int]
    parts: tuple[Part, ...] = ()
    n_groups: int | None = None
    design_effect: float | None = None
    flips: Flips | None = None
    p_equivalent: float = np.nan


def paired_difference(a: Sequence[Record], b: Sequence[Record]) -> PairedDifference:
    """Compare two models on one task by one protocol.

    Args:
        a, b: the records of one model's probe seeds, one or more.

    Raises:
        UserError: predictions are missing, or the two cannot be paired: another task, another
            version of it, other test clips, another protocol.
    """
    return difference([measure(record) for record in a], [measure(record) for record in b])


def difference(
    a: Sequence[Measured],
    b: Sequence[Measured],
    *,
    grouped: bool = True,
    margin: float | None = None,
) -> PairedDifference:
    """Compare what was measured; as :func:`paired_difference`.

    Args:
        a, b: one model's probe seeds each.
        grouped: use the task's groups as units, if it has any; otherwise clips are the units.
        margin: test whether the difference is smaller than this, too.
    """
    check_paired([*a, *b])
    if not grouped:
        a, b = ([each.ungrouped() for each in side] for side in (a, b))
    seeds = (len(a), len(b))
    n_clips = a[0].n_clips
    n_groups = a[0].units.count if a[0].units.grouped else None
    means = [np.mean([each.value for each in side]) for side in (a, b)]
    value = round(float(means[0] - means[1]), EQUAL_DIGITS)
    why = _why_none(value, a[0]) or _why_none(value, b[0])
    if why:
        nan = (np.nan,) * 3
        return PairedDifference(value, *nan, f"none: {why}", n_clips, seeds, (), n_groups)
    repeated = len(a) > 1 and len(b) > 1
    equal = [all(map(each[0].same_predictions, each)) for each in (a, b)]
    a, b = (
        each[:1] if same and (all(equal) or not a[0].is_random) else each
        for each, same in zip((a, b), equal, strict=True)
    )
    found = _subtract([each.by_unit for each in a], [each.by_unit for each in b])
    clips = _subtract([each.by_clip for each in a], [each.by_clip for each in b])
    between = between_seeds([each.value for each in a], [each.value for each in b])
    allowed = 0.0 if between or repeated else _allowance(a[0], b[0], clips.variance)
    parts = (_unit_part(a, b, found, added=0.0 if between else _ADDED), *between)
    parts += (Part(allowed, np.inf),) * (allowed > 0)
    spread = add_up(parts)
    p_equivalent = spread.p_within(value, margin) if margin else np.nan
    if between:
        half = spread.half_width()
        low, high, p = value - half, value + half, spread.p(value)
        method = f"t with {spread.freedom_text} degrees of freedom"
        covered = f"{_units_text(a[0])} and {_seeds_text(a, b)}"
    else:
        effect = 1 + allowed / clips.variance if allowed else 1.0
        low, high, p, method = one_probe_test(a[0], b[0], value, found, spread, effect)
        if margin and is_mcnemars(a[0], b[0]):
            p_equivalent = score_p_within(by_clip(a, b), margin, effect)
        covered = _units_text(a[0]) + f", with an {TRAINING_ALLOWED}" * (allowed > 0)
    return PairedDifference(
        value,
        max(low, -a[0].metric.largest_difference),
        min(high, a[0].metric.largest_difference),
        p,
        f"{method}; over {covered}",
        n_clips,
        seeds,
        parts,
        n_groups,
        parts[0].variance / clips.variance if n_groups and clips.variance > FLAT else None,
        flips(a, b),
        p_equivalent,
    )


def _why_none(value: float, measured: Measured) -> str:
    """Return why two models cannot be compared; empty where they can."""
    units = measured.units
    if np.isnan(value):
        return "a score is undefined"
    if measured.is_share_of_clips:
        one_each = measured.n_clips <= len(measured.clips)
        return "a test set of one clip a fold" if one_each else ""
    if units.freedom < LEAST_FREEDOM:
        return f"too few test {measured.noun} {units.enough}"
    if measured.by_unit.worth - len(units.stratum_sizes) < 1:
        return f"too few test {measured.noun} of the rarest classes"
    if np.isnan(measured.by_unit.variance):
        return f"a score is undefined without one of the {measured.noun}"
    return ""


def _allowance(a: Measured, b: Measured, clip_variance: float) -> float:
    """Return the variance that is added for seeds that were not repeated."""
    if not a.is_random:
        return 0.0
    answers = min(a.decisions, b.decisions) / len(a.clips)
    # Two trainings, each with its allowance.
    icc = a.metric.training_icc
    return 2 * training_allowance(clip_variance, answers, min(a.runs, b.runs), icc)


def _unit_part(
    a: Sequence[Measured], b: Sequence[Measured], found: Influence, added: float
) -> Part:
    first = a[0]
    if first.is_share_of_clips:
        return clip_part(by_clip(a, b), added)
    part = of_units(found)
    if not added or not first.metric.counts_answers:
        return part
    answers = min(each.answers for each in (*a, *b))
    if not part.variance:
        independent = first.units.n_units if first.units.grouped else np.inf
        return of_equal_answers(min(answers, found.worth, independent), part.freedom)
    if first.units.grouped:
        return part
    return Part(part.variance + 2 * added / answers**2, part.freedom)


def _subtract(a: Sequence[Influence], b: Sequence[Influence]) -> Influence:
    """Return the difference of the means over seeds."""
    return mean_influence(a).minus(mean_influence(b))


def _seeds_text(a: Sequence[Measured], b: Sequence[Measured]) -> str:
    text = f"seeds ({len(a)} and {len(b)}"
    return text + (")" if min(len(a), len(b)) > 1 else ", taken to spread alike)")


def _units_text(measured: Measured) -> str:
    n_units = measured.units.count
    few = not measured.is_share_of_clips and n_units < FEW_UNITS
    return f"{n_units} {measured.noun}" + ", few" * few
