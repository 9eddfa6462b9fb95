"""95 % confidence intervals of scores over the test set's units and the training of the probe.

An interval says how far a score would move on another test set of the same make-up, with the probe
trained again where its protocol is random. Units are groups of clips, or clips where a task has no
groups (:mod:`harness.metrics.units`). In k-fold tasks each fold is scored and the scores are
averaged; several runs of a probe are averaged within a fold.

- Accuracies without groups: the Jeffreys interval, smoothed over folds and runs.
- Everything else: a t interval with the jackknife's standard error over units, on the logit scale
  for scores in [0, 1], the log scale for error rates, and the scale of d' itself.

A class, or a fold, may be undefined without a unit although it is defined in the test set. A macro
mean is then taken over the classes that are left; without a defined fold there is no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from harness.metrics.event_scores import METRICS as EVENT_METRICS
from harness.metrics.event_scores import EventCounts, n_answers, parts_of
from harness.metrics.jackknife import (
    SceneFold,
    correctness,
    event_influence,
    scene_influence,
    stacked,
)
from harness.metrics.scores import ACCURACIES, METRICS, check_metric
from harness.metrics.units import FEW_UNITS, LEAST_FREEDOM, Units, clip_units
from harness.metrics.variance import (
    EVENT_ICC,
    LEVEL,
    Part,
    Spread,
    add_up,
    flat_half_width,
    of_units,
    training_allowance,
)

_N_DRAWS = 10_000
_FLAT = 1e-12
TRAINING_ALLOWED = "allowance for training noise"
"""In the method of an interval that takes the noise of training from a constant."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low, high: its ends; NaN where none can be given, and ``method`` gives the reason.
        method: how it was made, in words.
        n_boot: posterior draws; 0 where the method draws none.
    """

    low: float
    high: float
    method: str
    n_boot: int


@dataclass(frozen=True)
class Estimate:
    """A score with its interval and what the interval was made of.

    Attributes:
        value: the score.
        interval: its 95 % interval.
        standard_error: over the test units; NaN where it cannot be computed.
        freedom: degrees of freedom of the standard error.
        training_error: standard deviation that training is taken to add; 0 for a protocol
            without randomness.
        n_groups: number of test groups; None without groups.
        design_effect: variance over groups divided by that over single clips; None without groups.
        clip_error: standard error over single clips; None without groups.
    """

    value: float
    interval: Interval
    standard_error: float
    freedom: float
    training_error: float
    n_groups: int | None = None
    design_effect: float | None = None
    clip_error: float | None = None


def scene_value(metric: str, folds: Sequence[SceneFold]) -> float:
    """Return the reported score: the mean over folds of the mean over runs."""
    return scene_influence(metric, folds, _one_unit(folds)).value


def _one_unit(folds: Sequence[SceneFold]) -> Units:
    of_clip = tuple(np.zeros(len(targets), dtype=np.int64) for _, targets in folds)
    return Units(of_clip, np.zeros(1, dtype=np.int64), grouped=True)


def scene_answers(folds: Sequence[SceneFold]) -> float:
    """Return how many labels of clips the score is counted from, over all folds; a clip has one."""
    return float(sum(max(len(targets), targets.sum() * (targets.ndim - 1)) for _, targets in folds))


def scene_estimate(
    metric: str,
    folds: Sequence[SceneFold],
    units: Units | None = None,
    *,
    is_random: bool = False,
    seed: int = 0,
) -> Estimate:
    """Return a scene score with its interval over the units of its test set.

    Accuracies of a test set without groups: a plain interval is [1, 1] when every clip is right,
    and too narrow near 1. The clips' mean correctness is drawn from its Dirichlet posterior instead
    (the Bayesian bootstrap), with half a wrong and half a right clip added, shared among the folds.
    For one fold and one run that is the Jeffreys interval, Beta(k + 1/2, n - k + 1/2), whose
    coverage is close to nominal from n = 1 on (Brown, Cai and DasGupta 2001); as they do, the
    interval is widened to hold the score where it would not, at 0 and 1.

    All else: see the module. Where no unit moves the score, as at 1, the interval is Wilson's for
    as many equal answers as there are units; d', which has no bound, has none then.

    Args:
        metric: a name in ``harness.metrics.scores.METRICS``.
        folds: the predictions of every test fold.
        units: of the clips; by default each clip is one.
        is_random: whether another training of the probe gives other predictions; the interval then
            includes :func:`harness.metrics.variance.training_allowance`.
        seed: of the posterior draws.
    """
    check_metric(metric)
    folds = [SceneFold(*fold) for fold in folds]
    sizes = [len(fold.targets) for fold in folds]
    units = units or clip_units(sizes)
    found = scene_influence(metric, folds, units)
    clips = found if not units.grouped else scene_influence(metric, folds, clip_units(sizes))
    runs = folds[0].probabilities.shape[0]
    allowed = training_allowance(clips.variance, sum(sizes) / len(folds), runs)
    allowed = allowed if is_random else 0.0
    part = of_units(found)
    if metric in ACCURACIES and not units.grouped:
        effect = 1 + allowed / part.variance if allowed else 1.0
        interval = _jeffreys(metric, folds, found.value, effect, seed)
    else:
        answers = min(found.worth, units.n_units)
        interval = _interval(metric, found.value, part, allowed, units, units.noun, answers)
    return _estimate(found.value, interval, part, allowed, units, clips.variance)


def event_answers(
    metric: str, folds: Sequence[Sequence[EventCounts]], part: str | None = None
) -> float:
    """Return how many events or label-segments the score is a share of, over all folds."""
    part = part or parts_of(metric)[0]
    return sum(float(n_answers(fold.sum(axis=1), part).mean()) for fold in stacked(folds))


def event_value(
    metric: str, folds: Sequence[Sequence[EventCounts]], part: str | None = None
) -> float:
    """Return the reported score: the mean over folds of the mean over runs."""
    units = tuple(np.zeros(len(fold[0].files), dtype=np.int64) for fold in folds)
    one = Units(units, np.zeros(1, dtype=np.int64), grouped=True)
    return event_influence(metric, folds, one, part).value


def event_estimate(
    metric: str,
    folds: Sequence[Sequence[EventCounts]],
    units: Units | None = None,
    *,
    is_random: bool = False,
    part: str | None = None,
) -> Estimate:
    """Return an event score with its interval over the files of its test set, or their groups.

    Args:
        metric: a name in ``harness.metrics.events.METRICS``.
        folds: per test fold the counts of every run, over the same files.
        units: of the files; by default each file is one.
        is_random: as of :func:`scene_estimate`.
        part: one of :func:`harness.metrics.event_scores.parts_of`; the metric's own value without.
    """
    part = part or parts_of(metric)[0]
    files = clip_units([len(fold[0].files) for fold in folds])
    units = units or files
    found = event_influence(metric, folds, units, part)
    by_file = found if not units.grouped else event_influence(metric, folds, files, part)
    answers = event_answers(metric, folds, part)
    allowed = training_allowance(by_file.variance, answers / len(folds), len(folds[0]), EVENT_ICC)
    allowed = allowed if is_random else 0.0
    tested = of_units(found)
    noun = units.noun if units.grouped else "files"
    independent = min(answers, units.n_units) if units.grouped else answers
    interval = _interval(metric, found.value, tested, allowed, units, noun, independent)
    return _estimate(found.value, interval, tested, allowed, units, by_file.variance)


def t_interval(metric: str, value: float, spread: Spread) -> tuple[float, float]:
    """Return the ends of a 95 % t interval on the scale that suits the metric's range.

    Logit for a range of [0, 1], log for one from 0 on, else the metric's own scale; at an end of
    the range, where those are infinite, the metric's own scale, cut at the end.
    """
    low, high = _range(metric)
    half = spread.half_width()
    if np.isinf(low) or value <= low or value >= high:
        return max(low, value - half), min(high, value + half)
    if np.isinf(high):
        ends = value * np.exp(np.array([-1, 1]) * half / value)
    else:
        ends = expit(logit(value) + np.array([-1, 1]) * half / (value * (1 - value)))
    return float(ends[0]), float(ends[1])


def _range(metric: str) -> tuple[float, float]:
    return (METRICS[metric] if metric in METRICS else EVENT_METRICS[metric]).range


def _estimate(
    value: float, interval: Interval, part: Part, allowed: float, units: Units, clips: float
) -> Estimate:
    """``clips``: the variance over single clips."""
    effect, clip_error = None, None
    if units.grouped:
        effect = part.variance / clips if clips > _FLAT**2 else np.nan
        clip_error = float(np.sqrt(clips))
    return Estimate(
        value,
        interval,
        float(np.sqrt(part.variance)),
        float(max(part.freedom, 0)),
        float(np.sqrt(allowed)),
        units.n_units if units.grouped else None,
        effect,
        clip_error,
    )


def _interval(
    metric: str, value: float, part: Part, allowed: float, units: Units, noun: str, answers: float
) -> Interval:
    """``answers``: number of equal answers behind a score that no unit moves."""
    why = _why_none(value, part, units, noun)
    if why:
        return Interval(np.nan, np.nan, f"none: {why}", 0)
    few = ", few" if units.n_units < FEW_UNITS else ""
    if np.sqrt(part.variance) < _FLAT:
        if metric == "d_prime":
            return Interval(np.nan, np.nan, f"none: no {noun[:-1]} moves the score", 0)
        half = flat_half_width(answers)
        low, high = _range(metric)
        method = f"no {noun[:-1]} of {units.n_units} moves the score{few}; Wilson's interval of "
        method += "as many equal answers"
        return Interval(max(low, value - half), min(high, value + half), method, 0)
    method = f"jackknife t over {units.n_units} {noun}{few}"
    if units.n_units < FEW_UNITS:
        method += f", {part.freedom:.1f} degrees of freedom"
    if allowed:
        method += f"; {TRAINING_ALLOWED}"
    spread = add_up([part, Part(allowed, np.inf)])
    return Interval(*t_interval(metric, value, spread), method, 0)


def _why_none(value: float, part: Part, units: Units, noun: str) -> str:
    """Return why there is no interval; empty where there is one."""
    if np.isnan(value):
        return "the score is undefined"
    if units.freedom < LEAST_FREEDOM:
        return f"too few test {noun} {units.enough}"
    if np.isnan(part.variance):
        return f"the score is undefined without one of the {noun}"
    return "" if part.freedom >= 1 else f"too few test {noun} of the rarest classes"


def _jeffreys(
    metric: str, folds: Sequence[SceneFold], value: float, effect: float, seed: int
) -> Interval:
    """Jeffreys-smoothed interval of an accuracy whose variance is ``effect`` times that of clips.

    Each clip then counts as 1 / effect clips.
    """
    rngs = np.random.default_rng(seed).spawn(len(folds))
    draws = np.mean(
        [
            _posterior_accuracies(
                correctness(metric, fold).mean(axis=0), 0.5 / len(folds), effect, rng
            )
            for fold, rng in zip(folds, rngs, strict=True)
        ],
        axis=0,
    )
    low, high = np.quantile(draws, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    method = "Jeffreys-smoothed bootstrap over clips"
    if effect > 1:
        method += f"; {TRAINING_ALLOWED}"
    return Interval(min(float(low), value), max(float(high), value), method, _N_DRAWS)


def _posterior_accuracies(
    clips: np.ndarray, prior: float, effect: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the mean of clips' correctness (n,) from its Dirichlet posterior: (draws,).

    ``prior`` clips are added at 0 and at 1; only the count of clips at each level matters.
    """
    levels, counts = np.unique(np.concatenate([clips, [0.0, 1.0]]), return_counts=True)
    shape = counts.astype(np.float64)
    shape[[0, -1]] -= 1
    shape /= effect
    shape[[0, -1]] += prior
    draws = rng.standard_gamma(shape, size=(_N_DRAWS, len(shape)))
    return draws @ levels / draws.sum(axis=1)
