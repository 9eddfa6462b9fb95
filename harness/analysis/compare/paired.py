"""The difference of two models on one task, paired unit by unit.

Units are the task's groups of clips, or its clips (:mod:`harness.metrics.units`). Test and interval
depend on what there is:

- One probe per model, an accuracy, no groups: the exact McNemar test and Tango's score interval
  (:mod:`harness.analysis.compare.proportions`). If runs of a probe are averaged within a seed: a
  sign-flip permutation of the clips' mean differences, and a t interval for which half a clip is
  added for each model.
- One probe per model, an accuracy, groups: a sign-flip permutation of the groups' total
  differences, and a t interval.
- One probe per model, another metric: t test and t interval with the jackknife's standard error
  over units. Without groups half an answer (a label of a clip, an event) is added for each model.
- Several probe seeds of a model, any metric: the same t interval for the scores' means over seeds,
  with the variance between seeds added (:mod:`harness.metrics.variance`). If one model has several
  seeds and the other has one, both are assumed to have the same variance.
- Draws of a few-shot protocol: the same, but the training clips of a draw are those of all models,
  so the variance is that of the differences within draws.

:func:`harness.metrics.variance.of_units` gives the degrees of freedom. With fewer than six groups
(for metrics other than accuracies: files or clips) there is no interval and no p. If no unit moves
the difference, for example of two perfect models, the width is that of Wilson's interval for as
many equal answers.

Seeds with equal predictions count as one probe if the seeds of both models are equal. If a protocol
is random and only one model's seeds are equal, they are seeds with a variance of 0.

With one probe per model, resampling of test units compares two trained probes, not two models. On a
thousand clips, two seeds of one model are then called different far more often than in 5 of 100
trials (``results/seed_noise.csv``, column ``clips_alone``), because many of their answers change
together. If a protocol is random, an allowance is therefore added: the variance over independent
clips times ``ICC * n`` for n clips whose changes have the correlation ICC (the design effect of
Kish 1965, minus 1). In a k-fold task n is the number of clips of a fold, because each fold has its
own probes. Averaged runs divide the allowance. One seed cannot measure its own ICC, so the coverage
of such intervals is approximate. They are wide: with 5,000 clips, of which one model alone has 15 %
right, differences below 0.055 are not significant, while clips alone would give 0.011. Several
seeds measure their variance and need no allowance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.compare.measured import Measured, check_paired
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
    of_seeds,
    of_units,
    training_allowance,
)
from harness.probe import name_and_shots
from harness.results.frames import EQUAL_DIGITS

# Answers (clips, labels, events) that are added for each model if no seeds add a variance, as in
# the Jeffreys interval of a proportion. Bonett and Price (2012) add 1, which makes the interval of
# averaged runs wider than needed.
_ADDED = 0.5


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """``a`` minus ``b`` in the primary metric of one task.

    Attributes:
        value: the difference of the reported scores, which are means over seeds.
        low, high: its 95 % interval; NaN if there is none.
        p: two-sided p-value of no difference; NaN if there is none.
        method: test and interval in words, and what they cover; or why there are none.
        n_clips: number of test clips (of files, in an event task) of all folds.
        seeds: number of probe seeds of ``a`` and ``b``.
        parts: the parts of its variance, for a mean over tasks and for power: that of the test
            units, then those of training.
        n_groups: number of test groups; None if clips are the units.
        design_effect: variance over groups divided by that over single clips.
        flips: input of the sign-flip test of an accuracy, for its power.
        p_equivalent: p-value of a difference of at least the margin, by two one-sided tests; NaN
            without a margin.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    method: str = ""
    n_clips: int
    seeds: tuple[int, int]
    parts: tuple[Part, ...] = ()
    n_groups: int | None = None
    design_effect: float | None = None
    flips: Flips | None = None
    p_equivalent: float = np.nan


def difference(
    a: Sequence[Measured],
    b: Sequence[Measured],
    *,
    grouped: bool = True,
    margin: float | None = None,
) -> PairedDifference:
    """Compare two models on one task by one protocol.

    Args:
        a, b: the probe seeds of one model each, one or more.
        grouped: use the task's groups as units, if it has any; otherwise clips are the units.
        margin: also test whether the difference is smaller than this.

    Raises:
        UserError: the models cannot be paired, because task, version of the task, test clips or
            protocol differ.
    """
    check_paired([*a, *b])
    if not grouped:
        a, b = ([each.ungrouped() for each in side] for side in (a, b))
    means = [np.mean([each.value for each in side]) for side in (a, b)]
    value = round(float(means[0] - means[1]), EQUAL_DIGITS)
    n_groups = a[0].units.count if a[0].units.grouped else None
    untested = PairedDifference(
        value=value, n_clips=a[0].n_clips, seeds=(len(a), len(b)), n_groups=n_groups
    )
    if why := _why_none(value, a[0]) or _why_none(value, b[0]):
        return replace(untested, method=f"none: {why}")
    repeated = len(a) > 1 and len(b) > 1
    equal = [all(map(each[0].same_predictions, each)) for each in (a, b)]
    a, b = (
        each[:1] if same and (all(equal) or not a[0].is_random) else each
        for each, same in zip((a, b), equal, strict=True)
    )
    found = _subtract([each.by_unit for each in a], [each.by_unit for each in b])
    clips = _subtract([each.by_clip for each in a], [each.by_clip for each in b])
    paired = _are_draws(a, b)
    between = [_of_draws(a, b)] if paired else between_seeds(*_values(a, b))
    allowed = 0.0 if between or repeated else _allowance(a[0], b[0], clips.variance)
    parts = (_unit_part(a, b, found, added=0.0 if between else _ADDED), *between)
    parts += (Part(allowed, np.inf),) * (allowed > 0)
    spread = add_up(parts)
    p_equivalent = spread.p_within(value, margin) if margin else np.nan
    if between:
        half = spread.half_width()
        low, high, p = value - half, value + half, spread.p(value)
        method = f"t with {spread.freedom_text} degrees of freedom"
        repeats = f"draws ({len(a)}, paired)" if paired else _repeats_text(a, b)
        covered = f"{_units_text(a[0])} and {repeats}"
    else:
        effect = 1 + allowed / clips.variance if allowed else 1.0
        low, high, p, method = one_probe_test(a[0], b[0], value, found, spread, effect)
        if margin and is_mcnemars(a[0], b[0]):
            p_equivalent = score_p_within(by_clip(a, b), margin, effect)
        covered = _units_text(a[0]) + f", with an {TRAINING_ALLOWED}" * (allowed > 0)
    largest = a[0].metric.largest_difference
    return replace(
        untested,
        low=max(low, -largest),
        high=min(high, largest),
        p=p,
        method=f"{method}; over {covered}",
        parts=parts,
        design_effect=parts[0].variance / clips.variance
        if n_groups and clips.variance > FLAT
        else None,
        flips=flips(a, b),
        p_equivalent=p_equivalent,
    )


def _why_none(value: float, measured: Measured) -> str:
    """Return why two models cannot be compared; empty if they can."""
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


def _values(*sides: Sequence[Measured]) -> list[list[float]]:
    return [[each.value for each in side] for side in sides]


def _is_few_shot(measured: Measured) -> bool:
    return name_and_shots(measured.protocol)[1] is not None


def _are_draws(a: Sequence[Measured], b: Sequence[Measured]) -> bool:
    """Return whether both have the same draws of training clips, two or more."""
    return _is_few_shot(a[0]) and len(a) > 1 and {x.seed for x in a} == {x.seed for x in b}


def _of_draws(a: Sequence[Measured], b: Sequence[Measured]) -> Part:
    """Return the part of draws, from the differences of both models in each."""
    other = {each.seed: each.value for each in b}
    return of_seeds([each.value - other[each.seed] for each in a])


def _subtract(a: Sequence[Influence], b: Sequence[Influence]) -> Influence:
    """Return the difference of the means over seeds."""
    return mean_influence(a).minus(mean_influence(b))


def _repeats_text(a: Sequence[Measured], b: Sequence[Measured]) -> str:
    repeats = "unpaired draws" if _is_few_shot(a[0]) else "seeds"
    text = f"{repeats} ({len(a)} and {len(b)}"
    return text + (")" if min(len(a), len(b)) > 1 else ", assumed to have the same variance)")


def _units_text(measured: Measured) -> str:
    n_units = measured.units.count
    few = not measured.is_share_of_clips and n_units < FEW_UNITS
    return f"{n_units} {measured.noun}" + ", few" * few
