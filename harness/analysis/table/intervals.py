"""Compute the interval of a score over its probe seeds from result rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from harness.metrics.intervals import t_interval
from harness.metrics.registry import find_metric
from harness.metrics.variance import Part, add_up, of_seeds
from harness.results.frames import EQUAL_DIGITS

MEASURED, ALLOWED = "seeds", "allowance"

OF_INTERVAL = (
    *("metric", "value", "ci_low", "ci_high", "standard_error", "freedom", "training_error"),
    *("n_groups", "clip_error", "n_test"),
)
"""Columns of result rows that an interval over seeds is computed from."""


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


def seeds_interval(rows: Mapping[str, np.ndarray], *, grouped: bool = True) -> SeedsInterval:
    """Return the interval of one model on one task.

    One seed has the interval of its row. Several have a t interval from the mean variance over test
    units and the variance between seeds.

    Args:
        rows: finished rows of one model, task and protocol, a row a probe seed, as the columns
            ``OF_INTERVAL``: texts, or float64 with NaN for what is unknown.
        grouped: whether test groups are the units, on tasks that have them; otherwise clips.
    """
    # NaN if a seed has no interval.
    low, high = float(rows["ci_low"].mean()), float(rows["ci_high"].mean())
    errors, freedom, values = rows["standard_error"], rows["freedom"], rows["value"]
    allowed, equal = rows["training_error"], len(set(values)) == 1
    over_clips = not grouped and not np.isnan(rows["n_groups"]).all()
    if over_clips:
        errors, freedom = rows["clip_error"], rows["n_test"] - 1
    elif equal:
        return SeedsInterval(low, high, ALLOWED if (allowed > 0).any() else "")
    # There may be an interval over clips even if groups are too few for one over groups.
    if np.isnan(errors).any() or (np.isnan(low) and not over_clips):
        return SeedsInterval(low, high, "")
    parts = [Part(float((errors**2).mean()), float(np.fmin.reduce(freedom)))]
    training = ""
    if not equal:
        parts.append(of_seeds(values))
        training = MEASURED
    elif (allowed > 0).any():
        parts.append(Part(float(np.nanmean(allowed**2)), np.inf))
        training = ALLOWED
    metric = find_metric(rows["metric"][0])
    low, high = t_interval(metric, float(values.mean()), add_up(parts))
    return SeedsInterval(low, high, training)


def interval_text(low: float, high: float) -> str:
    """Return an interval as tables print it after the value; empty if there is none.

    Both ends are printed, because intervals are not symmetric.
    """
    if pd.isna(low) or pd.isna(high):
        return ""
    # Round like the values, so that rounding errors are not visible.
    return f" [{round(low, EQUAL_DIGITS):.3f}, {round(high, EQUAL_DIGITS):.3f}]"
