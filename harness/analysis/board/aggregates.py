"""Compute aggregates of a model over a whole board, in three ways, without imputing missing tasks.

``mean``
    The mean of the scores on the tasks that the model has.
``mean_rank``
    The mean of its ranks on these tasks, each among the published models that have the task. Equal
    scores get the mean of their ranks.
``standardised``
    The aggregate of the HEAR paper (arXiv 2203.03022; hearbenchmark/hear-leaderboard): each task's
    scores are scaled to mean 0 and standard deviation 1 (ddof 0) over models, clipped to [-1, 1],
    and averaged over tasks. Here mean and deviation are those of the available published scores.
    The original imputes missing scores by regression on the other tasks; here missing tasks are
    left out, so both agree only on boards without missing scores.

Each of our models is compared with the published models only. It does not change their aggregates
or those of our other models. Only models that have every task are ranked by an aggregate, because
means over different tasks cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.analysis.board.published import PublishedBoard
from harness.core.counts import plural

DIGITS = 6  # to which scores are equal: published ones are rounded to float32
_LOWER_IS_BETTER = {"mean": False, "mean_rank": True, "standardised": False}


def aggregates(own: pd.DataFrame, published: PublishedBoard) -> pd.DataFrame:
    """Return the aggregates over all tasks, and over the tasks that all our models have.

    Args:
        own: our models × the board's tasks, NaN where a score is missing.
        published: the board.

    Returns:
        The frame ``aggregates`` of :class:`harness.analysis.board.Leaderboard`.
    """
    tasks = list(published.scores.columns)
    shared = [task for task in tasks if own[task].notna().all()]
    found = [_over(own, published.scores, tasks)]
    if 1 < len(shared) < len(tasks):  # for one task, its placement has them
        found.append(_over(own, published.scores, shared))
    return pd.concat(found, ignore_index=True)


def _over(own: pd.DataFrame, scores: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    scores, own = scores[tasks].dropna(how="all"), own[tasks]
    parts = [_values(scores, scores).assign(own=False)]
    parts += [_values(own.loc[[model]], scores).assign(own=True) for model in own.index]
    found = pd.concat(parts)
    complete = found.n_tasks == len(tasks)
    rivals = found[complete & ~found.own]
    for name, lower_is_better in _LOWER_IS_BETTER.items():
        sign = -1 if lower_is_better else 1
        values = sign * found[name].round(DIGITS).to_numpy()
        of_rivals = sign * rivals[name].round(DIGITS).to_numpy()
        ranks = 1 + (of_rivals > values[:, None]).sum(axis=1)
        found[f"rank_by_{name}"] = pd.Series(ranks, found.index, dtype="Int64").where(complete)
    found["of_models"] = (len(rivals) + found.own.astype("Int64")).where(complete)
    found.insert(0, "model", found.index)
    found.insert(0, "over", plural(len(tasks), "task"))
    found.insert(3, "of_tasks", len(tasks))
    return found


def _values(models: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the aggregates of models, each compared with the published scores."""
    spread = scores.std(ddof=0)
    standard = ((models - scores.mean()) / spread.where(spread > 0)).clip(-1, 1)
    return pd.DataFrame(
        {
            "n_tasks": models.notna().sum(axis=1),
            "mean": models.mean(axis=1),
            "mean_rank": _ranks(models, scores).mean(axis=1),
            "standardised": standard.mean(axis=1),
        }
    )


def _ranks(models: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rank of each model on each task among the other published models."""
    ranks = {}
    for task in models:
        known = scores[task].dropna().round(DIGITS).to_numpy()
        of_task = models[task].round(DIGITS).to_numpy()
        higher = (known > of_task[:, None]).sum(axis=1)
        equal = (known == of_task[:, None]).sum(axis=1)
        if models is scores:
            equal = equal - 1  # itself
        ranks[task] = np.where(np.isnan(of_task), np.nan, 1 + higher + equal / 2)
    return pd.DataFrame(ranks, models.index)
