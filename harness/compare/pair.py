"""Two models compared on every task, and over the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.compare.measured import Measured
from harness.compare.paired import PairedDifference, difference
from harness.compare.ranks import SIGNIFICANCE, holm
from harness.errors import UserError
from harness.scoring.variance import add_up, scaled
from harness.task import is_synthetic

A_BETTER, B_BETTER, TIE, UNPAIRED = "a better", "b better", "not separable", "cannot be paired"
NO_VERDICT = "no verdict"
"""Begins the verdict on models that are paired on too few groups for a test."""


@dataclass(frozen=True)
class Cell:
    """One model on one task: its value over seeds, and what of it can be paired."""

    metric: str
    higher_is_better: bool
    task_sha256: str
    value: float
    measured: tuple[Measured, ...]
    missing: tuple[str, ...]


def compare_pair(
    tasks: Sequence[str],
    a: str,
    b: str,
    grid: Mapping[tuple[str, str], Cell | None],
    *,
    grouped: bool = True,
) -> tuple[pd.DataFrame, dict]:
    """Compare two models on all tasks, and over them.

    Args:
        tasks: in the order of the rows.
        a, b: the models.
        grid: by model and task what there is; None where a model was not run.
        grouped: use the groups of tasks that have them.

    Returns:
        The rows of ``Comparison.tasks``, and the row of ``Comparison.overall``.
    """
    rows, found = [], {}
    for task in tasks:
        row, paired = _row(task, a, b, grid[a, task], grid[b, task], grouped)
        rows.append(row)
        if paired:
            found[task] = paired
    table = pd.DataFrame(rows)
    # What is made up for calibration must not weigh on the verdicts of what was recorded.
    made_up = table.task.map(is_synthetic)
    for family in (made_up, ~made_up):
        table.loc[family, "p_holm"] = holm(table.p[family])
    for i in table.index[table.verdict == ""]:
        table.loc[i, "verdict"] = _verdict(table.loc[i])
    counts = table.verdict[~table.task.map(is_synthetic)].value_counts()
    averaged = {
        row.task: found[row.task]
        for row in table.itertuples()
        if row.higher_is_better and not is_synthetic(row.task) and not np.isnan(row.p)
    }
    over = {
        "a": a,
        "b": b,
        **_mean(list(averaged.values())),
        "left_out": ", ".join(task for task in tasks if task not in averaged),
        "wins": int(counts.get(A_BETTER, 0)),
        "losses": int(counts.get(B_BETTER, 0)),
        "ties": int(counts.get(TIE, 0)),
    }
    over["unpaired"] = int(counts.sum()) - over["wins"] - over["losses"] - over["ties"]
    return table, over


def _row(
    task: str, a: str, b: str, one: Cell | None, other: Cell | None, grouped: bool
) -> tuple[dict, PairedDifference | None]:
    cells = {a: one, b: other}
    known = [cell for cell in cells.values() if cell]
    row = {
        "task": task,
        "metric": known[0].metric if known else "",
        "higher_is_better": known[0].higher_is_better if known else True,
        "a": a,
        "b": b,
        "value_a": one.value if one else np.nan,
        "value_b": other.value if other else np.nan,
        **dict.fromkeys(("difference", "ci_low", "ci_high", "p", "p_holm"), np.nan),
        "method": "",
        "n_clips": pd.NA,
        "n_groups": pd.NA,
        "design_effect": np.nan,
        "seeds_a": len(one.measured) if one else 0,
        "seeds_b": len(other.measured) if other else 0,
        "verdict": "",
    }
    absent = [model for model, cell in cells.items() if cell is None]
    if absent or one is None or other is None:
        return row | {"verdict": f"{UNPAIRED}: {' and '.join(absent)} not run on it"}, None
    if one.task_sha256 == other.task_sha256:
        row["difference"] = one.value - other.value
    missing = [*one.missing, *other.missing]
    if not one.measured or not other.measured:
        return row | {"verdict": f"{UNPAIRED}: {'; '.join(missing)}"}, None
    try:
        found = difference(one.measured, other.measured, grouped=grouped)
    except UserError as error:
        return row | {"difference": np.nan, "verdict": f"{UNPAIRED}: {error}"}, None
    row |= {
        "difference": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "p": found.p,
        "method": "; ".join([found.method, *(f"without {each}" for each in missing)]),
        "n_clips": found.n_clips,
        "n_groups": pd.NA if found.n_groups is None else found.n_groups,
        "design_effect": np.nan if found.design_effect is None else found.design_effect,
    }
    if np.isnan(found.p):
        row["verdict"] = f"{NO_VERDICT}: {found.method.removeprefix('none: ')}"
    return row, found


def _verdict(row: pd.Series) -> str:
    if not row.p_holm < SIGNIFICANCE:
        return TIE
    return A_BETTER if (row.difference > 0) == row.higher_is_better else B_BETTER


def _mean(found: Sequence[PairedDifference]) -> dict:
    """Mean difference over tasks, which are not resampled: its clips and seeds are."""
    values = [each.value for each in found]
    mean = float(np.mean(values)) if values else np.nan
    row = {"n_tasks": len(found), "mean_difference": mean}
    if len(found) < 2 or not all(each.parts for each in found):
        # Of one task its own row tells all.
        return row | dict.fromkeys(("ci_low", "ci_high", "p"), np.nan) | {"method": ""}
    spread = add_up(part for each in found for part in scaled(each.parts, 1 / len(found)))
    half = spread.half_width()
    method = f"t with {spread.freedom_text} degrees of freedom, from the variances of its tasks"
    return row | {
        "ci_low": mean - half, "ci_high": mean + half, "p": spread.p(mean), "method": method
    }  # fmt: skip
