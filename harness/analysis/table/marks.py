"""Mark models that do not differ significantly from the best of a task, by paired tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import pandas as pd

from harness.analysis.compare.gather import Results, Runs, read_measured, read_runs
from harness.analysis.compare.measured import Measured
from harness.analysis.compare.paired import difference
from harness.analysis.compare.ranks import SIGNIFICANCE, holm
from harness.analysis.table.cells import Marks, cells, is_mean
from harness.core.errors import UserError
from harness.probe import by_shots

RULE = (
    "not significantly different from the best model of the task (paired test, "
    f"p >= {SIGNIFICANCE:g}, Holm-corrected for the models of the task), or from one of several "
    "best. `results compare` corrects for the tasks of a pair instead, so borderline results can "
    "differ."
)


def find_marks(table: pd.DataFrame, results: Runs, *, grouped: bool = True) -> Marks:
    """Compare the models of each task and protocol with the best model, or with all best ones.

    Args:
        table: result rows.
        results: results with predictions of these rows, or what :func:`harness.load` reads.
        grouped: use the groups of tasks as independent units; otherwise clips.

    Returns:
        Marks for the tasks on which the best model and at least one other have predictions. There
        are none if the results cannot be read.
    """
    try:
        results = read_runs(results)
    except UserError:
        return Marks()
    near: dict[tuple[str, str], dict[str, bool]] = {}
    unpaired: list[str] = []
    for protocol in sorted(set(table.protocol), key=by_shots):
        found = cells(table, protocol)
        scored = found[(found.status == "done") & ~found.task.map(is_mean)]
        for task, column in scored.groupby("task"):
            if not column.best.any():
                continue
            best = set(column.model[column.best])
            rows = results.rows[(results.rows.protocol == protocol) & (results.rows.task == task)]
            measured, missing = _measure(results, rows, _fingerprints(table, column.model))
            if best & measured.keys():
                near[protocol, str(task)], alone = _near(measured, best & measured.keys(), grouped)
                missing |= alone
            unpaired += [f"{m} on {task} by {protocol} ({why})" for m, why in missing.items()]
    near = {place: told for place, told in near.items() if told}
    return Marks(near, RULE, unpaired)


def _fingerprints(table: pd.DataFrame, models: Iterable[str]) -> dict[str, set[str]]:
    """Return the fingerprints of each model of a table."""
    return {model: set(table.model_fingerprint[table.model == model]) for model in models}


def _measure(
    results: Results, rows: pd.DataFrame, models: Mapping[str, AbstractSet[str]]
) -> tuple[dict[str, list[Measured]], dict[str, str]]:
    """Return the measurements of each model on a task, and why others are missing.

    A model that shares its name with an older one has a suffix in ``rows``, and none in the table
    of a run that has no rows of the older one. There its fingerprint identifies it.
    """
    found, missing = {}, {}
    for model, fingerprints in models.items():
        same = (rows.written == model) & rows.model_fingerprint.isin(fingerprints)
        measured, gone = read_measured(results, rows[(rows.model == model) | same])
        if not gone and not measured:
            gone = ["the folder has no such result"]
        if gone:
            missing[model] = gone[0].rstrip(".")
        else:
            found[model] = measured
    return found, missing


def _near(
    measured: Mapping[str, list[Measured]], best: AbstractSet[str], grouped: bool = True
) -> tuple[dict[str, bool], dict[str, str]]:
    """Return which other models do not differ significantly from one of the best.

    The second mapping has the models that cannot be tested, with the reason.
    """
    p, missing = {}, {}
    for model in sorted(measured.keys() - best):
        found = [_p(measured[each], measured[model], grouped) for each in sorted(best)]
        known = [each for each in found if isinstance(each, float)]
        if known:
            p[model] = max(known)
        else:
            missing[model] = str(found[0])
    adjusted = zip(p, holm(list(p.values())), strict=True)
    return {model: bool(each >= SIGNIFICANCE) for model, each in adjusted}, missing


def _p(best: Sequence[Measured], other: Sequence[Measured], grouped: bool) -> float | str:
    """Return the p-value of no difference, or the reason why there is none."""
    try:
        found = difference(best, other, grouped=grouped)
    except UserError as error:
        return str(error).rstrip(".")
    return found.method if np.isnan(found.p) else found.p
