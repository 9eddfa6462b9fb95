"""Which models of a task are within noise of its best, told from the predictions of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from harness.compare.gather import Results, gather, read_measured
from harness.compare.measured import Measured
from harness.compare.paired import difference
from harness.compare.ranks import SIGNIFICANCE, holm
from harness.errors import UserError
from harness.table.cells import Noise, cells, is_mean

RULE = (
    "a paired test of the two models' predictions on the same clips does not tell them apart "
    f"(p ≥ {SIGNIFICANCE:g} after Holm's correction for the models of the task)."
)
_DIGITS = 6


def find_noise(table: pd.DataFrame, run: Path) -> Noise:
    """Compare the models of each task and protocol with the best of them.

    Args:
        table: result rows.
        run: the folder of the run that they are of, with its predictions.

    Returns:
        Marks for the tasks of which the best model and at least one other have predictions. Where
        the run is gone, or its predictions, there are none.
    """
    try:
        results = gather([run])
    except UserError:
        return Noise()
    near: dict[tuple[str, str], frozenset[str]] = {}
    unpaired: list[str] = []
    for protocol in sorted(set(table.protocol)):
        found = cells(table, protocol)
        scored = found[(found.status == "done") & ~found.task.map(is_mean)]
        for task, column in scored.groupby("task"):
            if not column.best.any():
                continue
            values = dict(zip(column.model, column.value, strict=True))
            best = column.model[column.best].iloc[0]
            rows = results.rows[(results.rows.protocol == protocol) & (results.rows.task == task)]
            measured, missing = _measure(results, rows, values)
            unpaired += [f"{model} on {task} by {protocol} ({why})" for model, why in missing]
            if best in measured and len(measured) > 1:
                near[protocol, str(task)] = _near(measured, best)
    return Noise(near, RULE, unpaired)


def _measure(
    results: Results, rows: pd.DataFrame, values: Mapping[str, float]
) -> tuple[dict[str, list[Measured]], list[tuple[str, str]]]:
    """What is known of each model's predictions on a task, or why it is not."""
    found, missing = {}, []
    for model, value in values.items():
        measured, gone = read_measured(results, rows[rows.model == model])
        if not gone and not measured:
            gone = ["the folder has no such result"]
        elif (
            not gone and abs(sum(m.value for m in measured) / len(measured) - value) > 10**-_DIGITS
        ):
            gone = ["the folder's predictions are of another result"]
        if gone:
            missing.append((model, gone[0]))
        else:
            found[model] = measured
    return found, missing


def _near(measured: Mapping[str, list[Measured]], best: str) -> frozenset[str]:
    others = [model for model in measured if model != best]
    p = [difference(measured[best], measured[model]).p for model in others]
    return frozenset(
        model for model, adjusted in zip(others, holm(p), strict=True) if adjusted >= SIGNIFICANCE
    )
