"""The difference of two models on one task, paired clip by clip.

What is estimated, and by which test and interval, depends on what there is:

- One probe a model, an accuracy: exact McNemar test, Tango's score interval
  (:mod:`harness.compare.proportions`). The same with runs of a probe averaged within a seed: a
  sign-flip permutation of the clips' mean differences, and a t interval to which half a clip a
  model is added.
- One probe a model, another metric: t test and interval on the standard error of the paired
  bootstrap, to which half an answer a model is added (a label of a clip, an event). Its degrees of
  freedom are, less the folds, the files of events; of a macro mean the clips that its classes are
  worth (:func:`harness.scoring.intervals.scene_worth`), since a class of few clips is known no
  better than they. Where those leave none, nothing is told. Where every resample gives the same
  difference, as of two perfect models, the width is that of Wilson's interval of as many equal
  answers.
- Several probe seeds of a model, any metric: the same, of the scores' means over seeds, with the
  variance between seeds added (:mod:`harness.compare.variance`). Where one model has several seeds
  and the other one, both are taken to spread alike.

Seeds whose predictions are all equal count as one probe, where they do so on both sides; by a
protocol that has chance in it equal seeds beside others that differ are seeds without a spread.

With one probe a model, clips alone tell two trained probes apart, not two models: on a thousand
clips two seeds of one model are called different far more often than in 5 of 100 trials
(``results/seed_noise.csv``, column ``clips_alone``), since many of their answers turn together. So
where a protocol's probes depend on their seed, the variance is multiplied by the design effect
``1 + ICC * n`` of n clips whose turns are correlated by ICC (Kish 1965). In k-fold n is a fold's
clips, since each fold has probes of its own, and runs that are averaged divide it. One seed cannot
tell its own ICC, so this is an allowance and no guarantee, and a dear one: of 5,000 clips, 15 %
right by one model alone, differences below 0.055 stay undecided, where clips alone would decide at
0.011. Several seeds measure their spread and need no allowance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.compare.measured import Measured, measure
from harness.compare.proportions import clip_part, score_interval, sign_flip_test
from harness.compare.variance import (
    Part,
    add_up,
    between_seeds,
    of_clips,
    of_equal_answers,
    scaled,
)
from harness.errors import UserError
from harness.record import Record
from harness.results.frames import EQUAL_DIGITS
from harness.scoring.intervals import FEW_FILES
from harness.scoring.scores import ACCURACIES, METRICS

# Of a clip, or of another answer that a score is counted from, where no seeds add a variance: as in
# the Jeffreys interval of one proportion; Bonett and Price (2012) add a whole one, with which the
# interval of averaged runs is wider than asked.
_ADDED = 0.5
# Of clips' turns between two seeds of one model. Not a constant of nature: trained probes showed
# 0.0004 to 0.0042 on 500 clips and more, and on fewer, where it is known badly, up to 0.0060
# (results/seed_noise.csv, where at most 3 of 100 pairs of seeds are then called different).
ICC = 5e-3
ALLOWANCE = "an allowance for one probe seed a model"
"""In the method, where the variance was multiplied so."""


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
        parts: what its variance is made of, for a mean over tasks.
    """

    value: float
    low: float
    high: float
    p: float
    method: str
    n_clips: int
    seeds: tuple[int, int]
    parts: tuple[Part, ...] = ()


def paired_difference(a: Sequence[Record], b: Sequence[Record]) -> PairedDifference:
    """Compare two models on one task by one protocol.

    Args:
        a, b: the records of one model's probe seeds, one or more.

    Raises:
        UserError: predictions are missing, or the two cannot be paired: another task, another
            version of it, other test clips, another protocol.
    """
    return difference([measure(record) for record in a], [measure(record) for record in b])


def difference(a: Sequence[Measured], b: Sequence[Measured]) -> PairedDifference:
    """Compare what was measured; as :func:`paired_difference`."""
    check_paired([*a, *b])
    seeds = (len(a), len(b))
    n_clips, n_folds = a[0].n_clips, len(a[0].clips)
    means = [np.mean([each.value for each in side]) for side in (a, b)]
    value = round(float(means[0] - means[1]), EQUAL_DIGITS)
    if np.isnan(value):
        return _nothing(value, "none: a score is undefined", n_clips, seeds)
    if n_clips <= n_folds:
        return _nothing(value, "none: a test set of one clip a fold", n_clips, seeds)
    if a[0].worth - n_folds < 1:
        return _nothing(value, "none: too few test clips of the rarest classes", n_clips, seeds)
    repeated = len(a) > 1 and len(b) > 1
    equal = [all(map(each[0].same_predictions, each)) for each in (a, b)]
    a, b = (
        each[:1] if same and (all(equal) or not a[0].is_random) else each
        for each, same in zip((a, b), equal, strict=True)
    )
    between = between_seeds([each.value for each in a], [each.value for each in b])
    if between:
        parts = (_clips(a, b, 0.0), *between)
        spread = add_up(parts)
        half = spread.half_width()
        low, high, p = value - half, value + half, spread.p(value)
        method = (
            f"t with {spread.freedom_text} degrees of freedom; over clips and {_seeds_text(a, b)}"
        )
    else:
        effect = 1.0 if repeated else _design_effect(a[0], b[0])
        parts = tuple(scaled([_clips(a, b, _ADDED)], np.sqrt(effect)))
        low, high, p, method = _of_one_probe(a[0], b[0], value, parts, effect)
        method += "; over clips"
        if effect > 1:
            method += f", and {ALLOWANCE} (variance x {effect:.2f})"
    return PairedDifference(
        value, max(low, _least(a[0])), min(high, -_least(a[0])), p, method, n_clips, seeds, parts
    )


def check_paired(measured: Sequence[Measured]) -> None:
    """Raise UserError unless all are of one task, version, protocol, and the same test clips."""
    first = measured[0]
    for other in measured[1:]:
        pair = f"{first.model} and {other.model}"
        if other.protocol != first.protocol:
            raise UserError(
                f"{pair} were probed by different protocols, {first.protocol} and "
                f"{other.protocol}: results of two protocols cannot be compared."
            )
        if other.task != first.task:
            raise UserError(f"{pair} were tested on different tasks: {first.task}, {other.task}.")
        if other.task_sha256 != first.task_sha256:
            raise UserError(
                f"{pair} were tested on different versions of {first.task}: task_sha256 "
                f"{first.task_sha256[:8]}... and {other.task_sha256[:8]}.... Run both on one."
            )
        if other.clips != first.clips or other.metric != first.metric:
            raise UserError(
                f"{pair} were tested on different clips of {first.task}. Run both on the same."
            )
        for one, another in zip(first.audio, other.audio):
            # Of other rates the recordings are other files, of which nothing can be told.
            if one and another and one[0] == another[0] and one != another:
                raise UserError(
                    f"{pair} heard different recordings of {first.task}: the clips have the same "
                    f"names and other contents. Run both on the same."
                )


def _of_one_probe(
    a: Measured, b: Measured, value: float, parts: Sequence[Part], effect: float
) -> tuple[float, float, float, str]:
    """Low, high, p and method where there is no variance between seeds."""
    half = add_up(parts).half_width()
    p = add_up(parts).p(value)
    if a.correctness is None:
        few = a.metric not in METRICS and a.n_clips < FEW_FILES
        method = "paired bootstrap t" + (f", few files ({a.n_clips})" if few else "")
        if not np.ptp(_draws([a], [b])):
            # Each clip says the same, and a sign test counts them.
            p = min(1.0, 2.0 ** (1 - a.n_clips)) if value else 1.0
            method = "sign test, every resample gives the same difference"
            method += ", Wilson's interval of as many equal answers" if half else ""
        return value - half, value + half, p, method
    found = _by_clip([a], [b])
    test = sign_flip_test(found)
    p = max(p, test.p) if effect > 1 else test.p
    if all(np.isin(fold, (-1, 0, 1)).all() for fold in found):
        return *score_interval(found, effect), p, f"{test.method}, Tango's score interval"
    return value - half, value + half, p, f"{test.method}, adjusted t interval"


def _design_effect(a: Measured, b: Measured) -> float:
    """How many times the variance of clips alone is taken, for seeds that were not repeated."""
    if not a.is_random:
        return 1.0
    return 1 + ICC * a.n_clips / len(a.clips) / min(a.runs, b.runs)


def _clips(a: Sequence[Measured], b: Sequence[Measured], added: float) -> Part:
    if a[0].metric in ACCURACIES:
        return clip_part(_by_clip(a, b), added)
    n_clips, n_folds = a[0].n_clips, len(a[0].clips)
    found = of_clips(_draws(a, b), n_clips, n_folds)
    found = replace(found, freedom=min(n_clips, a[0].worth) - n_folds)
    # d' has no bound that equal answers would be a share of.
    if not added or a[0].metric == "d_prime":
        return found
    answers = min(each.answers for each in (*a, *b))
    if not found.variance:
        return of_equal_answers(min(answers, a[0].worth), found.freedom)
    return Part(found.variance + 2 * added / answers**2, found.freedom)


def _draws(a: Sequence[Measured], b: Sequence[Measured]) -> np.ndarray:
    """Differences (n_boot,) of the means over seeds."""
    sides = [np.mean([np.asarray(each.draws) for each in side], axis=0) for side in (a, b)]
    return sides[0] - sides[1]


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


def _least(measured: Measured) -> float:
    """The smallest difference that the metric can have."""
    return -np.inf if measured.metric in ("d_prime", "segment_1s_er") else -1.0


def _nothing(value: float, method: str, n_clips: int, seeds: tuple[int, int]) -> PairedDifference:
    return PairedDifference(value, np.nan, np.nan, np.nan, method, n_clips, seeds)
