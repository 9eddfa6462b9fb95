"""Compute the interval of a score over its probe seeds from result rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from harness.metrics.intervals import t_interval
from harness.metrics.registry import find_metric
from harness.metrics.variance import Part, add_up, of_seeds
from harness.results.frames import EQUAL_DIGITS

MEASURED, ALLOWED = "seeds", "allowance"


class SeedsInterval(NamedTuple):
    """A 95 % interval of the mean over seeds.

    Attributes:
        low, high: its ends; NaN if there is none.
        training: how it includes training noise: ``seeds`` (measured) or ``allowance``; empty if
            the protocol is not random or the rows have an older schema version.
    """

    low: float
    high: float
    training: str


def seeds_interval(rows: pd.DataFrame, *, grouped: bool = True) -> SeedsInterval:
    """Return the interval of one model on one task.

    One seed has the interval of its row. Several have a t interval from the mean variance over test
    units and the variance between seeds.

    Args:
        rows: finished rows of one model, task and protocol, a row a probe seed.
        grouped: whether test groups are the units, on tasks that have them; otherwise clips.
    """
    # NaN if a seed has no interval.
    low, high = rows[["ci_low", "ci_high"]].to_numpy(np.float64).mean(axis=0)
    errors, freedom = rows.standard_error, rows.freedom
    over_clips = not grouped and rows.n_groups.notna().any()
    if over_clips:
        errors = rows.clip_error
        freedom = rows.n_test.astype(float) - 1
    elif len(rows) == 1 or rows.value.nunique() == 1:
        allowed = (rows.training_error > 0).any()
        return SeedsInterval(low, high, ALLOWED if allowed else "")
    # There may be an interval over clips even if groups are too few for one over groups.
    if errors.isna().any() or (rows.ci_low.isna().any() and not over_clips):
        return SeedsInterval(low, high, "")
    parts = [Part(float((errors**2).mean()), float(freedom.min()))]
    training = ""
    if rows.value.nunique() > 1:
        parts.append(of_seeds(rows.value.to_numpy()))
        training = MEASURED
    elif (rows.training_error > 0).any():
        parts.append(Part(float((rows.training_error**2).mean()), np.inf))
        training = ALLOWED
    metric = find_metric(rows.metric.iloc[0])
    low, high = t_interval(metric, float(rows.value.mean()), add_up(parts))
    return SeedsInterval(low, high, training)


def interval_text(low: float, high: float) -> str:
    """Return an interval as tables print it after the value; empty if there is none.

    Both ends are printed, because intervals are not symmetric.
    """
    if pd.isna(low) or pd.isna(high):
        return ""
    # Round like the values, so that rounding errors are not visible.
    return f" [{round(low, EQUAL_DIGITS):.3f}, {round(high, EQUAL_DIGITS):.3f}]"
