"""How far repeated probe seeds lie apart, beside how far another test set would move the score."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.results.frames import TESTED, latest

_PLACE = ["model", "task", "protocol"]


def seed_spread(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model, task and protocol, of the primary metric over all test folds.

    The two uncertainties are of different things and neither holds the other: ``seed_sd`` is how
    far one probe's score moves when it is trained with another seed, ``ci_low`` to ``ci_high`` how
    far it moves on other clips.

    Args:
        table: result rows, as :func:`harness.results.load` gives them.

    Returns:
        ``model``, ``task``, ``protocol``; ``n_seeds``, those that have a value; ``value``, their
        mean; ``seed_sd``, their standard deviation (ddof 1; NaN with fewer than two seeds, 0 where
        a protocol has nothing random); ``ci_low``, ``ci_high``: the mean over seeds of the ends of
        each seed's 95 % interval over clips. All four are NaN where the seeds were not tested
        alike: by another metric, on other clips, or on another version of the task.
    """
    rows = latest(table)
    rows = rows[(rows.split == "all") & rows.is_primary]
    spread = rows.groupby(_PLACE).agg(
        n_seeds=("value", "count"),
        value=("value", "mean"),
        seed_sd=("value", _sd),
        ci_low=("ci_low", "mean"),
        ci_high=("ci_high", "mean"),
    )
    unlike = rows[rows.status == "done"].groupby(_PLACE)[TESTED].nunique().gt(1).any(axis=1)
    spread.loc[unlike[unlike].index, ["value", "seed_sd", "ci_low", "ci_high"]] = np.nan
    return spread.reset_index()


def _sd(values: pd.Series) -> float:
    known = values.dropna()
    # Equal values have no spread, whatever rounding makes of their mean.
    if len(known) > 1 and known.nunique() == 1:
        return 0.0
    return float(known.std(ddof=1)) if len(known) > 1 else np.nan
