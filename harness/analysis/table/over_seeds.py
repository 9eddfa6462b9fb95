"""Compute the cell of each model and task from the rows of its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.table.intervals import OF_INTERVAL, seeds_interval
from harness.results.frames import TESTED
from harness.results.seeds import deviation, known

_COLUMNS = [*TESTED, *OF_INTERVAL, "status", "design_effect"]


def over_seeds(chosen: pd.DataFrame, grouped: bool) -> dict[Any, dict]:
    """Return the fields of the cell of each (model, task) that do not depend on other cells.

    Args:
        chosen: rows of one protocol: of primary metrics, over all folds.
        grouped: as for :func:`harness.analysis.table.cells.cells`, which documents the fields.
    """
    # Arrays, because a selection of rows of a frame takes longer than all that is computed of it.
    columns = {name: _array(chosen[name]) for name in _COLUMNS}
    return {
        place: _cell({name: column[at] for name, column in columns.items()}, grouped)
        for place, at in chosen.groupby(["model", "task"]).indices.items()
    }


def _array(column: pd.Series) -> np.ndarray:
    """Return numbers as float64, NaN if unknown, and everything else as objects."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64, na_value=np.nan)
    return column.to_numpy(object)


def _cell(rows: Mapping[str, np.ndarray], grouped: bool) -> dict:
    finished = rows["status"] == "done"
    done = {name: column[finished] for name, column in rows.items()}
    n_done = int(finished.sum())
    found = dict.fromkeys(("value", "ci_low", "ci_high", "design_effect"), np.nan) | {
        "training": "",
        "n_groups": pd.NA,
        "n_seeds": n_done,
        "seeds_failed": len(finished) - n_done,
        "status": "failed",
        "seed_sd": np.nan,
    }
    if not n_done:
        return found
    if any(len(set(known(done[name]))) > 1 for name in TESTED):
        return found | {"status": "mixed"}
    found["seed_sd"] = deviation(done["value"])
    if np.isnan(done["value"]).any():
        return found | {"status": "undefined"}
    interval = seeds_interval(done, grouped=grouped)
    effects, n_groups = known(done["design_effect"]), done["n_groups"][0]
    return found | {
        "status": "done",
        "value": done["value"].mean(),
        "ci_low": interval.low,
        "ci_high": interval.high,
        "training": interval.training,
        "n_groups": n_groups if grouped and n_groups > 0 else pd.NA,
        "design_effect": effects.mean() if len(effects) else np.nan,
    }
