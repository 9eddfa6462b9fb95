"""Find scores of one protocol that were computed by different versions of the probes' code."""

from __future__ import annotations

import pandas as pd

from harness.core.counts import first_of


def version_notes(rows: pd.DataFrame) -> list[str]:
    """Return a sentence on each protocol whose scores have different probe versions.

    Args:
        rows: the newest result rows of primary metrics over all folds.
    """
    done = rows[rows.status == "done"]
    notes = []
    for protocol, own in done.groupby("protocol"):
        versions = own.probe_version.fillna(0).astype(int)
        if versions.nunique() < 2:
            continue
        newest = own[versions == versions.max()].model.unique()
        old = own[versions < versions.max()].drop_duplicates(["model", "task"])
        older = [
            f"{row.model} on {row.task} "
            f"({'not recorded' if pd.isna(row.probe_version) else row.probe_version})"
            for row in old.itertuples()
        ]
        notes.append(
            f"{protocol}: scores of different probe versions, which cannot be compared. Version "
            f"{versions.max()}: {', '.join(first_of(newest, 3))}. "
            f"Older: {', '.join(first_of(older, 3))}. Run these again; embeddings are kept."
        )
    return notes
