"""The variation of scores over probe seeds, reported with the interval over test clips."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.results.frames import TESTED, primary

_PLACE = ["model", "task", "protocol"]


def seed_spread(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model, task and protocol, for the primary metric over all test folds.

    The two uncertainties are different, and neither includes the other: ``seed_sd`` is the
    variation over trainings of the probe, ``ci_low`` to ``ci_high`` that over test clips.

    Args:
        table: result rows, as :func:`harness.results.load` returns them.

    Returns:
        A frame with the columns ``model``, ``task``, ``protocol``; ``n_seeds``, the number of seeds
        with a value; ``value``, their mean; ``seed_sd``, their standard deviation (ddof 1; NaN with
        fewer than two seeds, 0 if the protocol is not random); ``ci_low`` and ``ci_high``, the mean
        over seeds of the ends of each seed's 95 % interval over clips. The last four are NaN if
        the seeds differ in metric, test clips or version of the task.
    """
    rows = primary(table)
    spread = rows.groupby(_PLACE).agg(
        n_seeds=("value", "count"),
        value=("value", "mean"),
        seed_sd=("value", deviation),
        ci_low=("ci_low", "mean"),
        ci_high=("ci_high", "mean"),
    )
    unlike = rows[rows.status == "done"].groupby(_PLACE)[TESTED].nunique().gt(1).any(axis=1)
    spread.loc[unlike[unlike].index, ["value", "seed_sd", "ci_low", "ci_high"]] = np.nan
    return spread.reset_index()


def deviation(values: np.ndarray | pd.Series) -> float:
    """Return the standard deviation (ddof 1) of the known values; NaN of fewer than two."""
    values = known(np.asarray(values, np.float64))
    # The mean of equal values can be rounded, which would give a deviation above 0.
    if len(values) > 1 and len(set(values)) == 1:
        return 0.0
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def known(values: np.ndarray) -> np.ndarray:
    """Return the values of a float or object array that are not missing."""
    return values[~pd.isna(values)]
