"""95 % confidence intervals of scores over the test set's units and the training of the probe.

An interval covers the variation of a score over test sets of the same make-up and, if the protocol
is random, over trainings of the probe. Units are groups of clips, or clips where a task has no
groups (:mod:`harness.metrics.units`). In k-fold tasks each fold is scored and the scores are
averaged; several runs of a probe are averaged within a fold.

- Accuracies without groups: the Jeffreys interval, smoothed over folds and runs.
- Everything else: a t interval with the jackknife's standard error over units, on the logit scale
  for scores in [0, 1], the log scale for error rates, and the scale of d' itself.

The score of a class or fold can be undefined without a unit although it is defined with all units.
A macro mean is then taken over the remaining classes; without a defined fold there is no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.metrics.jackknife import Influence
from harness.metrics.metric import AnyMetric, Fold, Metric
from harness.metrics.units import FEW_UNITS, LEAST_FREEDOM, Units, clip_units
from harness.metrics.variance import (
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
"""Part of the method of an interval whose training noise is a constant, not an estimate."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low, high: its ends; NaN without an interval, and ``method`` then gives the reason.
        method: how it was computed, in words.
        n_boot: number of posterior draws; 0 if the method draws none.
    """

    low: float
    high: float
    method: str
    n_boot: int


@dataclass(frozen=True, kw_only=True)
class ScoreEstimate:
    """A score, its interval and the quantities behind the interval.

    Attributes:
        value: the score.
        interval: its 95 % interval.
        standard_error: over the test units; NaN if it cannot be computed.
        freedom: degrees of freedom of the standard error.
        training_error: assumed standard deviation over trainings; 0 for a protocol without
            randomness.
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


def estimate(
    metric: Metric[Fold],
    folds: Sequence[Fold],
    units: Units | None = None,
    *,
    is_random: bool = False,
    seed: int = 0,
) -> ScoreEstimate:
    """Return a score with its interval over the units of its test set.

    The interval of an accuracy without groups comes from the Dirichlet posterior of the clips' mean
    correctness (the Bayesian bootstrap), with half a wrong and half a correct clip added and shared
    among the folds. A plain interval would be [1, 1] if every clip is correct, and too narrow near
    1. For one fold and one run this is the Jeffreys interval, Beta(k + 1/2, n - k + 1/2), whose
    coverage is close to nominal from n = 1 on. At 0 and 1 it is widened to contain the score
    (Brown, Cai and DasGupta 2001).

    For all other scores, see the module's docstring. If no unit moves the score, for example at 1,
    the interval is Wilson's for as many equal answers as there are units (events, if the units are
    files). d' has no bound and then no interval.

    Args:
        metric: the metric.
        folds: what the metric computes from (:meth:`Metric.fold`), for each test fold.
        units: of the clips or files; by default each clip or file is one.
        is_random: whether another training of the probe gives other predictions; the interval then
            includes :func:`harness.metrics.variance.training_allowance`.
        seed: of the posterior draws.
    """
    sizes = metric.sizes(folds)
    units = units or clip_units(sizes)
    found = metric.influence(folds, units)
    clips = found if not units.grouped else metric.influence(folds, clip_units(sizes))
    allowed = 0.0
    if is_random:
        decisions, runs = metric.decisions(folds) / len(folds), metric.runs(folds[0])
        allowed = training_allowance(clips.variance, decisions, runs, metric.training_icc)
    part = of_units(found)
    shares = None if units.grouped else metric.clip_shares(folds)
    if shares is not None:
        effect = 1 + allowed / part.variance if allowed else 1.0
        interval = _jeffreys(shares, found.value, effect, seed)
    else:
        interval = _interval(metric, folds, found, units, allowed)
    estimated = ScoreEstimate(
        value=found.value,
        interval=interval,
        standard_error=float(np.sqrt(part.variance)),
        freedom=float(max(part.freedom, 0)),
        training_error=float(np.sqrt(allowed)),
    )
    if not units.grouped:
        return estimated
    effect = part.variance / clips.variance if clips.variance > _FLAT**2 else np.nan
    clip_error = float(np.sqrt(clips.variance))
    return replace(estimated, n_groups=units.n_units, design_effect=effect, clip_error=clip_error)


def t_interval(metric: AnyMetric, value: float, spread: Spread) -> tuple[float, float]:
    """Return the ends of a 95 % t interval on the scale that suits the metric's range.

    The scale is logit for a range of [0, 1], log for a range of [0, inf), and the metric's own
    otherwise. At an end of the range, where logit and log are infinite, the interval is on the
    metric's own scale and cut at that end.
    """
    low, high = metric.range
    half = spread.half_width()
    if np.isinf(low) or value <= low or value >= high:
        return max(low, value - half), min(high, value + half)
    if np.isinf(high):
        ends = value * np.exp(np.array([-1, 1]) * half / value)
    else:
        from scipy.special import expit, logit  # slow to import

        ends = expit(logit(value) + np.array([-1, 1]) * half / (value * (1 - value)))
    return float(ends[0]), float(ends[1])


def _interval(
    metric: Metric[Fold], folds: Sequence[Fold], found: Influence, units: Units, allowed: float
) -> Interval:
    """Return the t interval, or Wilson's if no unit moves the score; ``allowed`` is for training.

    The units of ``found`` are ``units`` or blocks of them.
    """
    value, part = found.value, of_units(found)
    noun = units.noun if units.grouped else metric.clip_noun
    why = _why_none(value, part, units, noun)
    if why:
        return Interval(np.nan, np.nan, f"none: {why}", 0)
    few = ", few" if units.n_units < FEW_UNITS else ""
    if np.sqrt(part.variance) < _FLAT:
        if not metric.counts_answers:
            return Interval(np.nan, np.nan, f"none: no {noun[:-1]} moves the score", 0)
        answers = min(metric.answers(folds), found.worth)
        if units.grouped or metric.one_answer_a_clip:
            answers = min(answers, units.n_units)
        half = flat_half_width(answers)
        low, high = metric.range
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
    """Return why there is no interval; empty if there is one."""
    if np.isnan(value):
        return "the score is undefined"
    if units.freedom < LEAST_FREEDOM:
        return f"too few test {noun} {units.enough}"
    if np.isnan(part.variance):
        return f"the score is undefined without one of the {noun}"
    return "" if part.freedom >= 1 else f"too few test {noun} of the rarest classes"


def _jeffreys(shares: Sequence[np.ndarray], value: float, effect: float, seed: int) -> Interval:
    """Return the Jeffreys-smoothed interval of an accuracy.

    Args:
        shares: per fold, the share of runs (n,) in which each clip is correct.
        value: the accuracy.
        effect: the variance divided by that over clips; each clip counts as 1 / effect clips.
        seed: of the draws.
    """
    rngs = np.random.default_rng(seed).spawn(len(shares))
    draws = np.mean(
        [
            _posterior_accuracies(fold, 0.5 / len(shares), effect, rng)
            for fold, rng in zip(shares, rngs, strict=True)
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

    ``prior`` clips are added at 0 and at 1. Only the number of clips at each level matters.
    """
    levels, counts = np.unique(np.concatenate([clips, [0.0, 1.0]]), return_counts=True)
    shape = counts.astype(np.float64)
    shape[[0, -1]] -= 1
    shape /= effect
    shape[[0, -1]] += prior
    draws = rng.standard_gamma(shape, size=(_N_DRAWS, len(shape)))
    return draws @ levels / draws.sum(axis=1)
