"""Rank our results among the rows of a published board.

Published scores have no intervals and no predictions. Two accuracies on a known number of clips can
still be compared as proportions of independent samples, by the two-sided z test of equal
proportions with pooled variance, each at 5 % (the chi-square test of a 2 × 2 table without
continuity correction). If the difference is not significant, the models are not separable *by
published scores alone*. This does not mean that they are equal: both were tested on the same clips,
and a paired test, which needs the predictions of both, can detect smaller differences. For average
precision, AUC and F, and if the number of clips is not known, no interval and no verdict is given.

The score of a k-fold task is treated as the accuracy over all its clips. It is the mean over folds,
which is the same if all folds have the same size. Scores are compared to six digits, because
published scores are rounded to float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.board.aggregates import DIGITS, aggregates
from harness.analysis.board.published import BoardColumn, PublishedBoard
from harness.analysis.table.cells import cells, headlines
from harness.core.errors import UserError
from harness.metrics.distributions import normal_tail
from harness.metrics.registry import METRICS
from harness.metrics.scene_metric import Accuracy
from harness.probe import by_shots

ALPHA = 0.05
UNPAIRED = "two-proportion z test, unpaired"
NO_INTERVAL = "no interval known"
NOT_SEPARABLE = "not separable by published scores alone"
_PAIR = ["model", "task", "other", "value", "other_value", "difference", "p", "verdict", "method"]


@dataclass(frozen=True)
class Leaderboard:
    """Our results among published ones.

    Attributes:
        published: the board.
        models: the names of our models.
        placements: one row for each model of ours and task of the board: ``model``, ``task``,
            ``title``, ``metric``, ``status`` (as in :func:`harness.analysis.table.cells.cells`),
            ``value``, ``ci_low`` and ``ci_high`` of its 95 % interval, ``seed_sd``, ``n_test``,
            ``rank`` (1 + number of published models with a higher score), ``of`` (number of
            published models with a score, plus 1), ``n_not_separable`` and ``not_separable`` (the
            published models, best first, joined by ``; ``); ``method``: the test, or why there is
            none.
        pairs: one row for each model of ours, task and published model with a score: ``model``,
            ``task``, ``other``, ``value``, ``other_value``, ``difference``, ``p``, ``verdict``
            (``higher``, ``lower``, ``not separable by published scores alone`` or ``no interval
            known``), ``method``.
        aggregates: one row for each model, published or ours, and set of tasks: ``over``,
            ``model``, ``own``, ``n_tasks`` and ``of_tasks``, ``mean``, ``mean_rank``,
            ``standardised``; for models that have every task also ``rank_by_mean``,
            ``rank_by_mean_rank``, ``rank_by_standardised`` and ``of_models``
            (:mod:`harness.analysis.board.aggregates`).
        left_out: a sentence for each result that is left out.
    """

    published: PublishedBoard
    models: tuple[str, ...]
    placements: pd.DataFrame
    pairs: pd.DataFrame
    aggregates: pd.DataFrame
    left_out: tuple[str, ...]


def two_proportion_p(one: float, other: float, n: float) -> float:
    """Return the two-sided p-value of the z test that two accuracies on ``n`` clips are equal.

    With groups, ``n`` is the effective number: clips divided by the design effect. The variance is
    pooled. For equal accuracies the p-value is 1, also if both are 0 or 1.
    """
    if one == other:
        return 1.0
    pooled = (one + other) / 2
    z = (one - other) / np.sqrt(pooled * (1 - pooled) * 2 / n)
    return float(2 * normal_tail(abs(z)))


def board(table: pd.DataFrame, published: PublishedBoard) -> Leaderboard:
    """Rank results among the rows of a published board.

    Rows are used if they have the board's protocol, one of its task directories and the task's
    number of test clips. Other rows are left out, with a sentence. Each of our models is ranked
    separately among the published models, whose ranks and aggregates do not depend on ours.

    Args:
        table: result rows.
        published: from :func:`harness.analysis.board.published.read_published`.

    Raises:
        UserError: no row has the board's protocol, or none is on its tasks.
    """
    left_out = _other_protocols(table, published)
    entered, refused = _enter(headlines(table, published.protocol), published)
    left_out += refused
    if entered.empty:
        raise UserError(
            "\n  ".join([f"There is no result on a task of the board {published.name}:", *left_out])
        )
    scored: dict[Any, dict] = {}
    for cell in cells(entered, published.protocol).to_dict("records"):
        scored[cell["model"], cell["task"]] = cell
    own = {
        model: {c.name: _score(scored, model, c) for c in published.columns}
        for model in dict.fromkeys(entered.model.tolist())
    }
    pairs = _pairs(own, published)
    return Leaderboard(
        published,
        tuple(own),
        _placements(own, pairs, published),
        pairs,
        aggregates(_frame(own, published), published),
        tuple(left_out),
    )


def _enter(rows: pd.DataFrame, published: PublishedBoard) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows that can be on the board, and sentences on the others."""
    entered = []
    refused: dict[tuple[str, str], list[str]] = {}
    for _, of_model in rows.groupby(["task", "model"]):
        task, model = of_model.task.iloc[0], of_model.model.iloc[0]
        reason = _refusal(of_model, published)
        if reason:
            refused.setdefault((task, reason), []).append(model)
        else:
            entered.append(of_model)
    said = [f"{task} ({', '.join(who)}): {why}" for (task, why), who in refused.items()]
    return pd.concat(entered) if entered else rows.iloc[:0], said


def _other_protocols(table: pd.DataFrame, published: PublishedBoard) -> list[str]:
    others = sorted(set(table.protocol) - {published.protocol}, key=by_shots)
    if published.protocol not in set(table.protocol):
        raise UserError(
            f"The board {published.name} needs results of the protocol {published.protocol}, as "
            f"its scores are; these are of {', '.join(others)}. Run again with --protocol "
            f"{published.protocol}: embeddings are kept."
        )
    return [
        f"the rows of {protocol}: the board's scores are of {published.protocol}, and scores of "
        "two protocols cannot be compared"
        for protocol in others
    ]


def _refusal(rows: pd.DataFrame, published: PublishedBoard) -> str:
    """Return the reason why the rows of a task are not on the board; empty if they are."""
    task = rows.task.iloc[0]
    column = next((c for c in published.columns if task in c.directories), None)
    if column is None:
        name = task.rsplit("-", 2)[0].removesuffix("_part")
        namesakes = [
            directory
            for c in published.columns
            for directory in c.directories
            if directory.rsplit("-", 2)[0] == name
        ]
        if namesakes:
            return f"another version, mode or part than the board's {' or '.join(namesakes)}"
        return "not on the board"
    if set(rows.metric) != {column.metric}:
        return f"scored by {', '.join(sorted(set(rows.metric)))}, on the board by {column.metric}"
    known = column.clips[column.directories.index(task)]
    tested = set(rows.n_test.dropna()) - {known}
    if tested and known is not None:
        return f"tested on {min(tested)} clips, where the task has {known}"
    return ""


def _score(scored: Mapping[Any, dict], model: str, column: BoardColumn) -> dict:
    """Return a model's score on a column of the board: the mean over the column's tasks."""
    parts = [scored.get((model, name), {"status": "missing"}) for name in column.directories]
    unlike_done = [part["status"] for part in parts if part["status"] != "done"]
    nothing = dict.fromkeys(("value", "ci_low", "ci_high", "seed_sd", "design_effect"), np.nan)
    if unlike_done:
        return {"status": unlike_done[0]} | nothing
    if len(parts) == 1:
        return {name: parts[0][name] for name in ("status", *nothing)}
    return {"status": "done"} | nothing | {"value": float(np.mean([p["value"] for p in parts]))}


def _pairs(own: Mapping[str, Mapping[str, dict]], published: PublishedBoard) -> pd.DataFrame:
    rows = []
    for model, scores in own.items():
        for column in published.columns:
            value = scores[column.name]["value"]
            if np.isnan(value):
                continue
            method = _method(column)
            for other, other_value in published.scores[column.name].dropna().items():
                p = np.nan
                verdict = NO_INTERVAL
                if method == UNPAIRED and column.n_test is not None:
                    effect = scores[column.name].get("design_effect")
                    effective = column.n_test / np.fmax(effect or 1.0, 1.0)
                    p = two_proportion_p(value, other_value, effective)
                    verdict = "higher" if value > other_value else "lower"
                    verdict = verdict if p < ALPHA else NOT_SEPARABLE
                difference = value - other_value
                rows.append(
                    (model, column.name, other, value, other_value, difference, p, verdict, method)
                )
    return pd.DataFrame(rows, columns=_PAIR)


def _method(column: BoardColumn) -> str:
    """Return the test for published scores of a task, or the reason why there is none."""
    if not isinstance(METRICS.get(column.metric), Accuracy):
        return f"{NO_INTERVAL}: {column.metric}"
    if column.n_test is None:
        return f"{NO_INTERVAL}: the number of test clips is not known"
    return UNPAIRED


def _placements(
    own: Mapping[str, Mapping[str, dict]], pairs: pd.DataFrame, published: PublishedBoard
) -> pd.DataFrame:
    rows = []
    pairs = pairs.sort_values("other_value", ascending=False, kind="stable")
    near = pairs[pairs.verdict == NOT_SEPARABLE]
    near_of = near.groupby(["model", "task"]).other.agg(list).to_dict()
    for model, scores in own.items():
        for column in published.columns:
            known = published.scores[column.name].dropna().round(DIGITS)
            value = round(scores[column.name]["value"], DIGITS)
            names = near_of.get((model, column.name), [])
            placed = not np.isnan(value)
            tested = placed and _method(column) == UNPAIRED
            rows.append(
                {
                    "model": model,
                    "task": column.name,
                    "title": column.title,
                    "metric": column.metric,
                    **scores[column.name],
                    "n_test": column.n_test,
                    "rank": 1 + int((known > value).sum()) if placed else None,
                    "of": len(known) + 1 if placed else None,
                    "n_not_separable": len(names) if tested else None,
                    "not_separable": "; ".join(names),
                    "method": _method(column),
                }
            )
    found = pd.DataFrame(rows)
    for name in ("n_test", "rank", "of", "n_not_separable"):
        found[name] = found[name].astype("Int64")
    return found


def _frame(own: Mapping[str, Mapping[str, dict]], published: PublishedBoard) -> pd.DataFrame:
    return pd.DataFrame(
        [[of[c.name]["value"] for c in published.columns] for of in own.values()],
        list(own),
        published.scores.columns,
    )
