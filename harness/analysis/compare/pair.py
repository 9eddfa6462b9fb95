"""Compare two models on every task, and over the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from harness.analysis.compare.measured import Measured
from harness.analysis.compare.paired import PairedDifference, difference
from harness.analysis.compare.power import Design
from harness.analysis.compare.ranks import SIGNIFICANCE, holm
from harness.core.errors import UserError
from harness.metrics.variance import Part, add_up, scaled
from tasks.format.task import is_synthetic

A_BETTER, B_BETTER, TIE, UNPAIRED = "a better", "b better", "not separable", "cannot be paired"
EQUIVALENT = "equivalent"
NO_VERDICT = "no verdict"
"""Start of the verdict if there are too few groups for a test."""


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """How two models are compared.

    Attributes:
        grouped: use the groups of tasks as independent units; otherwise clips.
        margin: also test whether the difference is smaller than this, between 0 and 1.

    Raises:
        UserError: the margin is not between 0 and 1.
    """

    grouped: bool = True
    margin: float | None = None

    def __post_init__(self) -> None:
        if self.margin is not None and not 0 < self.margin < 1:
            raise UserError(f"The margin must be between 0 and 1, not {self.margin:g}.")


DEFAULT = PairOptions()


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """One model on one task: its mean value over seeds, and the seeds that can be paired.

    ``missing`` has a clause on each seed that cannot be paired.
    """

    metric: str
    higher_is_better: bool
    task_sha256: str
    value: float
    measured: tuple[Measured, ...]
    missing: tuple[str, ...] = ()


class ModelPair(NamedTuple):
    """Two models on all tasks.

    Attributes:
        rows: of ``Comparison.tasks``.
        over: the row of ``Comparison.overall``.
        differences: by task, if the models were paired on it.
        averaged: those that are in the mean over tasks.
    """

    rows: pd.DataFrame
    over: dict
    differences: dict[str, PairedDifference]
    averaged: dict[str, PairedDifference]


def compare_pair(
    tasks: Sequence[str],
    a: str,
    b: str,
    grid: Mapping[tuple[str, str], TaskScore | None],
    options: PairOptions = DEFAULT,
) -> ModelPair:
    """Compare two models on all tasks, and over them.

    Args:
        tasks: in the order of the rows.
        a, b: the models.
        grid: the scores by model and task; None if a model was not run on a task.
        options: how they are compared.
    """
    rows, found = [], {}
    for task in tasks:
        row, paired = _row({a: grid[a, task], b: grid[b, task]}, options)
        rows.append({"task": task} | row)
        if paired:
            found[task] = paired
    table = pd.DataFrame(rows)
    # Synthetic tasks must not affect the corrected p-values of recorded ones.
    made_up = table.task.map(is_synthetic)
    for family in (made_up, ~made_up):
        table.loc[family, "p_holm"] = holm(table.p[family])
        table.loc[family, "p_equivalent_holm"] = holm(table.p_equivalent[family])
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
        **_mean(list(averaged.values()), options.margin),
        "left_out": ", ".join(task for task in tasks if task not in averaged),
        "wins": int(counts.get(A_BETTER, 0)),
        "losses": int(counts.get(B_BETTER, 0)),
        "equivalent": int(counts.get(EQUIVALENT, 0)),
        "ties": int(counts.get(TIE, 0)),
    }
    told = sum(over[each] for each in ("wins", "losses", "equivalent", "ties"))
    over["unpaired"] = int(counts.sum()) - told
    return ModelPair(table, over, found, averaged)


def mean_parts(found: Sequence[PairedDifference]) -> tuple[Part, ...]:
    """Return the parts of the variance of the mean over tasks; none if a task has none."""
    if not all(each.parts for each in found):
        return ()
    return tuple(part for each in found for part in scaled(each.parts, 1 / len(found)))


def _row(
    cells: Mapping[str, TaskScore | None], options: PairOptions
) -> tuple[dict, PairedDifference | None]:
    """Return the row of two models on one task, and their difference if they can be paired."""
    (a, one), (b, other) = cells.items()
    known = [cell for cell in cells.values() if cell]
    row = {
        "metric": known[0].metric if known else "",
        "higher_is_better": known[0].higher_is_better if known else True,
        "a": a,
        "b": b,
        "value_a": one.value if one else np.nan,
        "value_b": other.value if other else np.nan,
        **dict.fromkeys(("difference", "ci_low", "ci_high", "p", "p_holm", "detectable"), np.nan),
        **dict.fromkeys(("p_equivalent", "p_equivalent_holm"), np.nan),
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
        found = difference(
            one.measured, other.measured, grouped=options.grouped, margin=options.margin
        )
    except UserError as error:
        return row | {"difference": np.nan, "verdict": f"{UNPAIRED}: {error}"}, None
    row |= {
        "difference": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "p": found.p,
        "p_equivalent": found.p_equivalent,
        "method": "; ".join([found.method, *(f"without {each}" for each in missing)]),
        "n_clips": found.n_clips,
        "n_groups": pd.NA if found.n_groups is None else found.n_groups,
        "design_effect": np.nan if found.design_effect is None else found.design_effect,
    }
    if np.isnan(found.p):
        row["verdict"] = f"{NO_VERDICT}: {found.method.removeprefix('none: ')}"
        return row, found
    return row | {"detectable": Design.of(found, one.metric).smallest_difference()}, found


def _verdict(row: pd.Series) -> str:
    if not row.p_holm < SIGNIFICANCE:
        return EQUIVALENT if row.p_equivalent_holm < SIGNIFICANCE else TIE
    return A_BETTER if (row.difference > 0) == row.higher_is_better else B_BETTER


def _mean(found: Sequence[PairedDifference], margin: float | None) -> dict:
    """Return the mean difference over tasks; clips and seeds are resampled, tasks are not."""
    values = [each.value for each in found]
    mean = float(np.mean(values)) if values else np.nan
    row = {"n_tasks": len(found), "mean_difference": mean}
    parts = mean_parts(found)
    if len(found) < 2 or not parts:
        # With one task, the task's own row has the result.
        unknown = ("ci_low", "ci_high", "p", "detectable", "p_equivalent")
        return row | dict.fromkeys(unknown, np.nan) | {"method": ""}
    spread = add_up(parts)
    half = spread.half_width()
    method = f"t with {spread.freedom_text} degrees of freedom, from the variances of its tasks"
    return row | {
        "ci_low": mean - half,
        "ci_high": mean + half,
        "p": spread.p(mean),
        "detectable": Design(parts).smallest_difference(),
        "p_equivalent": spread.p_within(mean, margin) if margin else np.nan,
        "method": method,
    }
