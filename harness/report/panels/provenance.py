"""The panels of the provenance: models, tasks and runs with their hashes, and all rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from harness.report.material import Material
from harness.report.panel import Panel, PanelTable, ProvenancePanel
from harness.report.texts import number, without_folders

_MODELS = {
    "model": "model",
    "model_fingerprint": "fingerprint",
    "checkpoint": "checkpoint",
    "checkpoint_sha256": "sha256 of the checkpoint",
    "model_options": "options",
    "frontend_convention": "mel filterbank",
    "embedding_size": "embedding size",
    "sample_rate": "Hz",
}
_TASKS = {
    "task": "task",
    "task_version": "version",
    "task_sha256": "sha256",
    "suite": "suite",
    "n_test": "test clips",
    "n_classes": "classes",
    "n_skipped": "clips left out",
}
_RUNS = {
    "run_id": "run",
    "command": "command",
    "harness_version": "hear-byola",
    "torch_version": "torch",
    "device": "device",
}
_ROWS = {
    "model": "model",
    "task": "task",
    "protocol": "protocol",
    "seed": "seed",
    "metric": "metric",
    "value": "value",
    "ci_low": "95 % from",
    "ci_high": "to",
    "ci_method": "interval by",
    "status": "status",
    "model_fingerprint": "fingerprint",
    "task_sha256": "task sha256",
    "run_id": "run",
    "started_at": "started (UTC)",
    "selected_params": "selected",
    "embed_seconds": "embed s",
    "probe_seconds": "probe s",
    "notes": "notes",
}
_MEASURED = [
    "embedding_size",
    "n_test",
    "n_classes",
    "n_skipped",
    "device",
]  # empty for failed evaluations
_FOLDED = {"selected_params", "notes"}
_SHORT = {"model_fingerprint", "task_sha256"}  # in full in the other tables
_HEX = 10


def _distinct(caption: str, columns: dict[str, str], material: Material) -> Panel:
    """Make a table of the distinct values of some columns of the rows."""
    rows = _over_folds(material)
    found = rows[list(columns)]
    found = found.mask(found == "")
    known = [column for column in columns if column not in _MEASURED]
    found = found.fillna(found.groupby(known, dropna=False).transform("first")).drop_duplicates()
    numbers = frozenset(
        place for place, column in enumerate(columns) if str(rows[column].dtype) == "Int64"
    )
    texts = tuple(
        tuple(_text(value) for value in row) for row in found.itertuples(index=False, name=None)
    )
    table = PanelTable(caption, tuple(columns.values()), texts, numbers)
    return Panel(table=table, shown=True)


def _rows(material: Material) -> Panel:
    """Make a table of every metric over all folds, with its provenance."""
    rows = _over_folds(material)
    columns = list(_ROWS)
    numbers = [c for c in columns if str(rows[c].dtype) in ("Int64", "float64")]
    texts = []
    for row in rows.to_dict("records"):
        cells = [_row_text(column, row[column]) for column in columns]
        if row["status"] != "done":
            cells[columns.index("status")] = _text(f"{row['status']}: {row['error']}")
        texts.append(tuple(cells))
    places, folded = (frozenset(map(columns.index, each)) for each in (numbers, _FOLDED))
    header = tuple(_ROWS.values())
    table = PanelTable("Rows with their provenance", header, tuple(texts), places, folded)
    note = (
        "Every metric over all folds. The scores of single folds are in results.csv. The tables "
        "above contain the full fingerprints and hashes."
    )
    return Panel(note, table=table, shown=True)


MODELS = ProvenancePanel(
    "models", "Models", partial(_distinct, "Models behind the rows", _MODELS), order=10
)
TASKS = ProvenancePanel(
    "tasks", "Tasks", partial(_distinct, "Tasks behind the rows", _TASKS), order=20
)
RUNS = ProvenancePanel("runs", "Runs", partial(_distinct, "Runs behind the rows", _RUNS), order=30)
ROWS = ProvenancePanel("rows", "Rows", _rows, order=40)


def _over_folds(material: Material) -> pd.DataFrame:
    return material.rows[material.rows.split == "all"]


def _row_text(column: str, value: object) -> str:
    if column in ("embed_seconds", "probe_seconds") and isinstance(value, float):
        return number(value, 1)
    if column in _SHORT:
        return str(value)[:_HEX]
    return number(value, 4) if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    if value is None or pd.isna(value) or value == "":
        return "–"
    return without_folders(str(value))
