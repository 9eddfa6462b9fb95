"""Result rows as pandas frames: typed, in canonical order, and the newest of each."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from harness.results.row import COLUMNS, KEY, TYPES, ResultRow

TESTED = ["metric", "n_test", "task_sha256"]
"""What values of one task must have in common to be compared, or averaged over seeds."""

_DTYPES = {"int": "Int64", "float": "float64", "bool": "bool"}


def frame(rows: Iterable[ResultRow]) -> pd.DataFrame:
    """Return rows as a frame with the CSV's columns, types and canonical order."""
    return typed(pd.DataFrame([vars(row) for row in rows], columns=COLUMNS))


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of result rows with the CSV's columns, types and canonical order.

    Numbers are float64 or Int64, which holds gaps, flags bool, all else text.
    """
    table = table[COLUMNS].copy()
    for column, kind in TYPES.items():
        dtype = _DTYPES.get(kind.removesuffix(" | None"))
        if dtype in ("Int64", "float64"):
            table[column] = pd.to_numeric(table[column])
        if dtype:
            table[column] = table[column].astype(dtype)  # type: ignore[call-overload]
    order = [*KEY, "started_at", "run_id"]
    return table.sort_values(order, kind="stable").reset_index(drop=True)


def latest(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the newest of rows that tell the same thing, and no failure that was mended since.

    Two models of one name (a checkpoint that was overwritten, say) stay two, whichever seeds,
    tasks and protocols each has: their names get the beginning of their fingerprints.
    """
    newest = table.sort_values("started_at", kind="stable").drop_duplicates(KEY, keep="last")
    place = ["task", "protocol", "model", "seed"]
    done = newest[newest.status == "done"].groupby(place).started_at.max().rename("mended")
    newest = newest.join(done, on=place)
    stale = (newest.status == "failed") & (newest.started_at < newest.mended.fillna(""))
    newest = newest[~stale].drop(columns="mended")
    marked = newest.model + "@" + newest.model_fingerprint.str[:8]
    return newest.assign(model=newest.model.where(~newest.model.isin(_twins(newest)), marked))


def _twins(rows: pd.DataFrame) -> set[str]:
    """Names that stand for several models."""
    twins: set[str] = set()
    # A model fitted to each task has other options there, and with them another fingerprint.
    for shared in ("task", "model_options"):
        fingerprints = rows.groupby(["model", shared]).model_fingerprint.nunique()
        twins |= set(fingerprints[fingerprints > 1].index.get_level_values("model"))
    return twins
