"""Result rows as pandas frames: column types, canonical order, and the newest of repeated rows."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from harness.results.row import COLUMNS, FIELDS, KEY, ResultRow, kind_of

TESTED = ["metric", "n_test", "task_sha256"]
"""Columns that must agree for values of one task to be compared, or averaged over seeds."""

EQUAL_DIGITS = 9
"""Decimal digits to which values are compared: equal means over folds can differ by rounding."""

FITTED = "input statistics fitted to the task"
"""Note on a model that is fitted to each task, and so has another fingerprint on each."""

OUT_OF_SCALE = "embeddings out of scale for this protocol"
"""Start of the note on a row whose protocol does not normalise embeddings although they need it."""

SCARCE = "labels with fewer training clips than shots"
"""Start of the note on a few-shot row with labels of which all training clips are used."""

_DTYPES = {int: "Int64", float: "float64", bool: "bool"}


def frame(rows: Iterable[ResultRow]) -> pd.DataFrame:
    """Return rows as a frame with the CSV's columns, types and canonical order."""
    parts = [vars(row) for row in rows]
    cells = {c: [getattr(part[g], n) for part in parts] for c, (g, n) in FIELDS.items()}
    return typed(pd.DataFrame(cells))


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of result rows with the CSV's columns, types and canonical order.

    Numbers are float64 or nullable Int64, flags bool, all else text.
    """
    table = table[COLUMNS].copy()
    for column in COLUMNS:
        dtype = _DTYPES.get(kind_of(column))
        if dtype in ("Int64", "float64"):
            table[column] = pd.to_numeric(table[column])
        if dtype:
            table[column] = table[column].astype(dtype)  # type: ignore[call-overload]
    order = [*KEY, "started_at", "run_id"]
    return table.sort_values(order, kind="stable").reset_index(drop=True)


def latest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the newest of repeated rows, without failures that have been replaced by a value.

    A failure is dropped if a value was computed later for any model of its name, or at any time for
    the same model and task.

    Two models of one name, for example after a checkpoint was overwritten, are kept apart: the
    beginning of the fingerprint is appended to their names.
    """
    place = ["task", "protocol", "model", "seed"]
    some_failed = bool((table.status == "failed").any())
    if some_failed:
        table = table[~_computed_elsewhere(table, [*place, "model_fingerprint", "task_sha256"])]
    newest = table.sort_values("started_at", kind="stable").drop_duplicates(KEY, keep="last")
    if some_failed:
        newest = _without_mended(newest, place)
    twins = _twins(newest)
    if not twins:
        return newest
    marked = newest.model + "@" + newest.model_fingerprint.str[:8]
    return newest.assign(model=newest.model.where(~newest.model.isin(twins), marked))


def _without_mended(newest: pd.DataFrame, place: list[str]) -> pd.DataFrame:
    """Return rows without the failures before a finished row of the same place."""
    done = newest[newest.status == "done"].groupby(place).started_at.max().rename("mended")
    newest = newest.join(done, on=place)
    stale = (newest.status == "failed") & (newest.started_at < newest.mended.fillna(""))
    return newest[~stale].drop(columns="mended")


def primary(table: pd.DataFrame) -> pd.DataFrame:
    """Return the newest rows of primary metrics over all test folds."""
    rows = latest(table)
    return rows[(rows.split == "all") & rows.is_primary]


def _computed_elsewhere(rows: pd.DataFrame, same: list[str]) -> pd.Series:
    """Return which failures have a finished row with equal values in the columns ``same``."""
    of_what = pd.MultiIndex.from_frame(rows[same])
    failed = rows.status == "failed"
    return failed & of_what.isin(of_what[~failed])


def _twins(rows: pd.DataFrame) -> set[str]:
    """Return the names that several models share."""
    if not _several(rows, ["model"]):
        return set()
    fitted = rows.notes.str.contains(FITTED, regex=False)
    twins = _several(rows[~fitted & (rows.status == "done")], ["model"])
    # A model fitted to each task has other options on each, and so another fingerprint.
    for shared in ("task", "model_options"):
        twins |= _several(rows, ["model", shared])
    return twins


def _several(rows: pd.DataFrame, shared: list[str]) -> set[str]:
    """Return the model names with several fingerprints among rows equal in ``shared``."""
    fingerprints = rows.groupby(shared).model_fingerprint.nunique()
    return set(fingerprints[fingerprints > 1].index.get_level_values("model"))
