"""Compare several models over several tasks: Holm's correction, mean ranks, Friedman and Nemenyi.

The procedure is Demšar's (2006, "Statistical comparisons of classifiers over multiple data sets"):
Friedman's test of any difference in rank, then Nemenyi's critical difference of two mean ranks. A
task is one observation and clips are not used, so the power is low with few tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.core.counts import plural
from harness.results.frames import EQUAL_DIGITS, TESTED
from tasks.format.task import is_synthetic

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class MeanRanks:
    """Mean ranks over the tasks that all models have.

    Attributes:
        ranks: one row per model, best first: model, mean_rank (1 is best), n_tasks, and
            ``tie_groups``, letters: models with a common letter do not differ significantly.
        critical_difference: two mean ranks differ significantly if they are further apart than
            this; None if it cannot be computed.
        test: the test behind it, or why there is none, in words.
        tasks: number of tasks that are ranked, of how many, and why not the others, in words.
    """

    ranks: pd.DataFrame
    critical_difference: float | None
    test: str
    tasks: str = ""


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values corrected for multiple tests (Holm 1979); NaN is ignored and kept."""
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def rank_rows(rows: pd.DataFrame, models: Sequence[str]) -> MeanRanks:
    """Rank models by the means over seeds of their result rows.

    Only a task that all were tested on alike, in version, metric and clips, can rank them;
    synthetic ones do not count.

    Args:
        rows: the newest rows of primary metrics over all folds, by one protocol.
        models: those of the rows that are ranked.
    """
    rows = rows[rows.model.isin(models) & ~rows.task.map(is_synthetic)]
    done = rows[rows.status == "done"]
    values = done.groupby(["model", "task"]).value.agg(lambda seeds: seeds.mean(skipna=False))
    table = values.unstack("task").reindex(index=list(models), columns=sorted(set(rows.task)))
    mixed = done.groupby("task")[TESTED].nunique().gt(1).any(axis=1)
    alike = table[[task for task in table if not mixed.get(task, False)]]
    ranking = rank_models(alike, rows.groupby("task").higher_is_better.all())
    n_tasks = alike.notna().all().sum()
    left_out = {
        "without a score of some model": alike.shape[1] - n_tasks,
        "tested differently": table.shape[1] - alike.shape[1],
    }
    reasons = ", ".join(f"{number} {why}" for why, number in left_out.items() if number)
    said = f"{n_tasks} of {plural(table.shape[1], 'task')}" + (
        f" (left out: {reasons})" if reasons else ""
    )
    return replace(ranking, tasks=said)


def rank_models(values: pd.DataFrame, ascending: pd.Series) -> MeanRanks:
    """Rank models by their values on tasks.

    Args:
        values: models × tasks; tasks that lack a value of any model are left out.
        ascending: by task, whether a higher value is better.
    """
    complete = values.dropna(axis="columns")
    n_models, n_tasks = complete.shape
    signs = np.where(ascending[complete.columns], -1.0, 1.0)
    placed = (complete.round(EQUAL_DIGITS) * signs).rank().to_numpy()
    means = placed.mean(axis=1) if n_tasks else np.full(n_models, np.nan)
    table = pd.DataFrame({"model": complete.index, "mean_rank": means, "n_tasks": n_tasks})
    table = table.sort_values("mean_rank", kind="stable").reset_index(drop=True)
    critical, test = _critical_difference(placed)
    sorted_means = table.mean_rank.to_numpy()
    return MeanRanks(
        table.assign(tie_groups="" if critical is None else _letters(sorted_means, critical)),
        None if critical is None or np.isinf(critical) else critical,
        test,
    )


def nemenyi(n_models: int, n_tasks: int) -> float:
    """Return the critical difference of two mean ranks at 5 % (Demšar 2006, section 3.2.2)."""
    from scipy import stats  # slow to import

    quantile = stats.studentized_range.ppf(1 - SIGNIFICANCE, n_models, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_models * (n_models + 1) / (6 * n_tasks)))


def _critical_difference(placed: np.ndarray) -> tuple[float | None, str]:
    """Return the critical difference, infinite if no models differ, and its test in words."""
    n_models, n_tasks = placed.shape
    if n_models < 3:
        return None, "no critical difference: it needs three models"
    if n_tasks < 2 or nemenyi(n_models, n_tasks) >= n_models - 1:
        return None, (
            f"no critical difference: with {plural(n_models, 'model')}, "
            f"{plural(n_tasks, 'common task is', 'common tasks are')} too few for any two mean "
            "ranks to differ"
        )
    if (placed == placed[0]).all():
        return np.inf, "all models tie on every task"
    from scipy import stats  # slow to import

    friedman = stats.friedmanchisquare(*placed)
    said = f"Friedman chi2 = {friedman.statistic:.2f}, p = {friedman.pvalue:.2g}, "
    said += plural(n_tasks, "task")
    if friedman.pvalue >= SIGNIFICANCE:
        return np.inf, f"{said}: no model differs in rank, so no critical difference is drawn"
    return nemenyi(n_models, n_tasks), f"{said}; Nemenyi at {100 * SIGNIFICANCE:.0f} %"


def _letters(means: np.ndarray, critical: float) -> list[str]:
    """Return letters for rising mean ranks: one letter per longest run within ``critical``."""
    letters = [""] * len(means)
    last = -1
    name = 0
    for first in range(len(means)):
        end = int(np.searchsorted(means, means[first] + critical, side="right")) - 1
        if end > last:
            for i in range(first, end + 1):
                letters[i] += _letter(name)
            last, name = end, name + 1
    return letters


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"[{number}]"
