"""The test and interval for one probe per model: McNemar's, sign-flip, or the jackknife's t."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis.compare.measured import Measured
from harness.analysis.compare.proportions import (
    Flips,
    SignTest,
    clip_flips,
    score_interval,
    sign_flip_test,
)
from harness.metrics.jackknife import Influence
from harness.metrics.variance import Spread

FLAT = 1e-24
"""Smaller variances are rounding errors."""


def one_probe_test(
    a: Measured, b: Measured, value: float, found: Influence, spread: Spread, effect: float
) -> tuple[float, float, float, str]:
    """Compare two probes, without a variance between seeds.

    Args:
        a, b: what was measured.
        value: the difference of the scores.
        found: influence of each unit on the difference.
        spread: of the difference.
        effect: variance with the allowance for training, over that of single clips.

    Returns:
        low and high end of the interval, p, and the method in words.
    """
    half = spread.half_width()
    p = spread.p(value)
    if a.correctness is None:
        if found.variance < FLAT:
            # No unit moves the difference. If the score of each unit favours the same model, a sign
            # test counts the units. Its p is too small if only some units differ, such as those of
            # one class of a macro mean, so the larger p of this and the t test is used.
            sign = min(1.0, 2.0 ** (1 - found.units.n_units)) if value else 1.0
            method = f"sign test, no {a.noun[:-1]} moves the difference"
            method += ", and t by Wilson's interval of as many equal answers" if half else ""
            return value - half, value + half, max(p, sign) if half else sign, method
        return value - half, value + half, p, "jackknife t"
    test = _sign_flips(a, b)
    p = max(p, test.p) if effect > 1 else test.p
    if is_mcnemars(a, b):
        interval = score_interval(by_clip([a], [b]), effect)
        return *interval, p, f"{test.method}, Tango's score interval"
    named = "t interval" if a.units.grouped else "adjusted t interval"
    return value - half, value + half, p, f"{test.method}, {named}"


def is_mcnemars(a: Measured, b: Measured) -> bool:
    """Return whether clips are the units and each is correct or wrong for each model."""
    if a.correctness is None or a.units.grouped:
        return False
    return all(np.isin(fold, (-1, 0, 1)).all() for fold in by_clip([a], [b]))


def flips(a: Sequence[Measured], b: Sequence[Measured]) -> Flips | None:
    """Return the input of a sign-flip test of an accuracy; None for other metrics."""
    if a[0].correctness is None:
        return None
    if a[0].units.grouped:
        return Flips(a[0].units.n_units, grouped=True)
    return clip_flips(by_clip(a, b))


def _sign_flips(a: Measured, b: Measured) -> SignTest:
    differences = by_clip([a], [b])
    units = a.units
    if not units.grouped:
        return sign_flip_test(differences)
    totals = np.zeros(units.n_units)
    for fold, each in enumerate(differences):
        totals += units.sums(fold, each) / len(each)
    # A unit's share, in units of the mean over units.
    test = sign_flip_test([totals * units.n_units / len(differences)])
    return SignTest(test.p, f"{test.method} of groups")


def by_clip(a: Sequence[Measured], b: Sequence[Measured]) -> list[np.ndarray]:
    """Return per fold the difference (n,) of the clips' mean correctness over seeds."""
    sides = [
        [np.mean(fold, axis=0) for fold in zip(*(each.correctness or () for each in side))]
        for side in (a, b)
    ]
    return [one - other for one, other in zip(*sides, strict=True)]
