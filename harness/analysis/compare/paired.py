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
from harness.analysis.compare.proportions import (
    Flips,
    SignTest,
    clip_flips,
    clip_part,
    score_interval,
    score_p_within,
    sign_flip_test,
)
from harness.metrics.intervals import TRAINING_ALLOWED
from harness.metrics.jackknife import Influence, mean_influence
from harness.metrics.scores import ACCURACIES, METRICS
from harness.metrics.units import FEW_UNITS, LEAST_FREEDOM
from harness.metrics.variance import (
    EVENT_ICC,
    ICC,
    Part,
    Spread,
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
_FLAT = 1e-24  # a smaller variance is rounding


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
        low, high, p, method = _of_one_probe(a[0], b[0], value, found, spread, effect)
        if margin and _is_mcnemars(a[0], b[0]):
            p_equivalent = score_p_within(_by_clip(a, b), margin, effect)
        covered = _units_text(a[0]) + f", with an {TRAINING_ALLOWED}" * (allowed > 0)
    return PairedDifference(
        value,
        max(low, -a[0].largest_difference),
        min(high, a[0].largest_difference),
        p,
        f"{method}; over {covered}",
        n_clips,
        seeds,
        parts,
        n_groups,
        parts[0].variance / clips.variance if n_groups and clips.variance > _FLAT else None,
        _flips(a, b),
        p_equivalent,
    )


def _why_none(value: float, measured: Measured) -> str:
    """Return why two models cannot be compared; empty where they can."""
    units = measured.units
    if np.isnan(value):
        return "a score is undefined"
    if measured.metric in ACCURACIES and not units.grouped:
        one_each = measured.n_clips <= len(measured.clips)
        return "a test set of one clip a fold" if one_each else ""
    if units.freedom < LEAST_FREEDOM:
        return f"too few test {measured.noun} {units.enough}"
    if measured.by_unit.worth - len(units.stratum_sizes) < 1:
        return f"too few test {measured.noun} of the rarest classes"
    if np.isnan(measured.by_unit.variance):
        return f"a score is undefined without one of the {measured.noun}"
    return ""


def _of_one_probe(
    a: Measured, b: Measured, value: float, found: Influence, spread: Spread, effect: float
) -> tuple[float, float, float, str]:
    """Low, high, p and method where there is no variance between seeds."""
    half = spread.half_width()
    p = spread.p(value)
    if a.correctness is None:
        if found.variance < _FLAT:
            # Each unit favours the same model, and a sign test counts them.
            p = min(1.0, 2.0 ** (1 - found.units.n_units)) if value else 1.0
            method = f"sign test, no {a.noun[:-1]} moves the difference"
            method += ", Wilson's interval of as many equal answers" if half else ""
            return value - half, value + half, p, method
        return value - half, value + half, p, "jackknife t"
    test = _sign_flips(a, b)
    p = max(p, test.p) if effect > 1 else test.p
    if _is_mcnemars(a, b):
        interval = score_interval(_by_clip([a], [b]), effect)
        return *interval, p, f"{test.method}, Tango's score interval"
    named = "t interval" if a.units.grouped else "adjusted t interval"
    return value - half, value + half, p, f"{test.method}, {named}"


def _is_mcnemars(a: Measured, b: Measured) -> bool:
    """Whether each clip is right or wrong by each model, and clips are the units."""
    if a.correctness is None or a.units.grouped:
        return False
    return all(np.isin(fold, (-1, 0, 1)).all() for fold in _by_clip([a], [b]))


def _flips(a: Sequence[Measured], b: Sequence[Measured]) -> Flips | None:
    if a[0].correctness is None:
        return None
    if a[0].units.grouped:
        return Flips(a[0].units.n_units, grouped=True)
    return clip_flips(_by_clip(a, b))


def _sign_flips(a: Measured, b: Measured) -> SignTest:
    by_clip = _by_clip([a], [b])
    units = a.units
    if not units.grouped:
        return sign_flip_test(by_clip)
    totals = np.zeros(units.n_units)
    for fold, each in enumerate(by_clip):
        totals += units.sums(fold, each) / len(each)
    # A unit's share, in units of the mean over units.
    test = sign_flip_test([totals * units.n_units / len(by_clip)])
    return SignTest(test.p, f"{test.method} of groups")


def _allowance(a: Measured, b: Measured, clip_variance: float) -> float:
    """Return the variance that is added for seeds that were not repeated."""
    if not a.is_random:
        return 0.0
    scene = a.metric in METRICS
    answers = (a.n_clips if scene else min(a.answers, b.answers)) / len(a.clips)
    # Two trainings, each with its allowance.
    icc = ICC if scene else EVENT_ICC
    return 2 * training_allowance(clip_variance, answers, min(a.runs, b.runs), icc)


def _unit_part(
    a: Sequence[Measured], b: Sequence[Measured], found: Influence, added: float
) -> Part:
    first = a[0]
    if first.metric in ACCURACIES and not first.units.grouped:
        return clip_part(_by_clip(a, b), added)
    part = of_units(found)
    # d' has no bound that equal answers would be a share of.
    if not added or first.metric == "d_prime":
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


def _by_clip(a: Sequence[Measured], b: Sequence[Measured]) -> list[np.ndarray]:
    """Per fold the difference (n,) of the clips' mean correctness over seeds."""
    sides = [
        [np.mean(fold, axis=0) for fold in zip(*(each.correctness or () for each in side))]
        for side in (a, b)
    ]
    return [one - other for one, other in zip(*sides, strict=True)]


def _seeds_text(a: Sequence[Measured], b: Sequence[Measured]) -> str:
    text = f"seeds ({len(a)} and {len(b)}"
    return text + (")" if min(len(a), len(b)) > 1 else ", taken to spread alike)")


def _units_text(measured: Measured) -> str:
    n_units = measured.units.count
    few = measured.units.grouped or measured.metric not in ACCURACIES
    return f"{n_units} {measured.noun}" + ", few" * (few and n_units < FEW_UNITS)
