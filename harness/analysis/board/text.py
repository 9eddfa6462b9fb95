"""Format a board as tables: the ranks of our models on each task, and the aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.board import NOT_SEPARABLE, Leaderboard
from harness.analysis.compare import compare, format_comparison
from harness.analysis.table.intervals import interval_text
from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.rendering import Sheet, Text, check_format, render

TABLES = ("placements", "aggregates", "pairs")

_NOTES = {
    "placements": (
        "Rank: 1 + number of published models with a higher score; each of our models is ranked "
        f"separately. {NOT_SEPARABLE.capitalize()}: published models whose accuracy does not "
        "differ significantly from ours (two-proportion z test, unpaired, pooled variance, "
        "two-sided, 5 % each, not corrected for multiple tests). They can still differ: a "
        "paired test, which needs their predictions, detects smaller differences. For other "
        "metrics and unknown numbers of clips no interval is known, and no verdict is given."
    ),
    "aggregates": (
        "Aggregates are over the tasks that a model has; missing tasks are not imputed. Only "
        "models that have all tasks are ranked. The others follow, sorted by their number of "
        "tasks: their means are over other tasks and cannot be compared. Mean rank: mean of the "
        "ranks on the tasks. Standardised: mean of scores scaled to mean 0 and deviation 1 over "
        "the published models of the task and clipped to [-1, 1]. Numbers and ranks of published "
        "models do not depend on ours. Bold: our models."
    ),
    "pairs": "",
}


def format_board(found: Leaderboard, style: str = "markdown", tables: Sequence[str] = ()) -> str:
    """Return tables of a board as markdown, csv, latex or html.

    Args:
        found: the board.
        style: the format; csv has the frames' own columns.
        tables: names from ``TABLES``; by default placements and aggregates, as csv placements.

    Raises:
        UserError: the format or a table is unknown, or a csv of several tables is asked for.
    """
    check_format(style)
    unknown = [name for name in tables if name not in TABLES]
    if unknown:
        raise UserError(f"There is no table '{unknown[0]}'. The tables are {', '.join(TABLES)}.")
    if style == "csv":
        if len(tables) > 1:
            raise UserError("A csv contains one table: choose one with --show.")
        chosen: pd.DataFrame = getattr(found, tables[0] if tables else "placements")
        return chosen.to_csv(index=False, lineterminator="\n")
    tables = tables or ("placements", "aggregates")
    draw = {"placements": _placements, "aggregates": _aggregates, "pairs": _pairs}
    sheets = [sheet for name in TABLES if name in tables for sheet in draw[name](found)]
    notes = [_NOTES[name] for name in TABLES if name in tables and _NOTES[name]]
    if "placements" in tables:
        notes += _not_run(found)
    if "aggregates" in tables:
        notes += _shared(found)
    notes += [f"Left out: {reason}." for reason in found.left_out]
    return render(sheets, notes, style)


def _not_run(found: Leaderboard) -> list[str]:
    """Return a sentence for each model with its number of tasks without a result."""
    missing = found.placements.status == "missing"
    return [
        f"{model} has no result on {n} of {plural(len(found.published.columns), 'task')}."
        for model, n in missing.groupby(found.placements.model, sort=False).sum().items()
        if n
    ]


def _shared(found: Leaderboard) -> list[str]:
    """Return a sentence with the tasks of those aggregates that are not over all tasks."""
    placed = found.placements[found.placements.status == "done"]
    n_models = placed.groupby("title", sort=False).model.nunique()
    shared = n_models.index[n_models == len(found.models)]
    over = plural(len(shared), "task")
    if over not in set(found.aggregates.over) or len(shared) == len(found.published.columns):
        return []
    ours = "that all of ours have" if len(found.models) > 1 else f"that {found.models[0]} has"
    return [f"{over}: those {ours}, {', '.join(shared)}."]


def format_paired(found: Leaderboard, runs: Sequence[Path], style: str = "markdown") -> str:
    """Return the paired comparison of our models on the tasks of the board.

    Args:
        found: the board, with at least two of our models.
        runs: the places of their results and predictions.
        style: the format.

    Raises:
        UserError: the format is unknown, there are fewer than two models, or ``runs`` has no
            results.
    """
    there = set(found.placements.task[found.placements.status == "done"])
    of_board = [d for c in found.published.columns if c.name in there for d in c.directories]
    protocol = found.published.protocol
    return format_comparison(compare(runs, found.models, protocol, of_board, all_pairs=True), style)


def _placements(found: Leaderboard) -> list[Sheet]:
    sheets = []
    for model, rows in found.placements.groupby("model", sort=False):
        n_there = int((rows.status == "done").sum())
        sheets.append(
            Sheet(
                f"{model} on {found.published.name}, {n_there} of {plural(len(rows), 'task')}",
                ("task", "metric", "score", "rank", "test clips", NOT_SEPARABLE),
                tuple(_placement(row) for row in rows.itertuples() if row.status != "missing"),
            )
        )
    return sheets


def _placement(row: Any) -> tuple[Text, ...]:
    if row.status != "done":
        known = (row.title, row.metric, row.status, "-", _count(row.n_test), "-")
        return tuple(map(Text, known))
    width = interval_text(row.ci_low, row.ci_high)
    width += "" if pd.isna(row.seed_sd) else f" (sd {row.seed_sd:.3f})"
    near = row.method if pd.isna(row.n_not_separable) else f"{row.n_not_separable} of {row.of - 1}"
    if not pd.isna(row.n_not_separable) and row.n_not_separable:
        names = row.not_separable.split("; ")
        near += f": {names[0]}" if len(names) == 1 else f": {names[0]} to {names[-1]}"
    return (
        Text(row.title),
        Text(row.metric),
        Text(f"{row.value:.3f}", width),
        Text(f"{row.rank} of {row.of}"),
        Text(_count(row.n_test)),
        Text(near),
    )


def _count(number: Any) -> str:
    return "-" if pd.isna(number) else f"{number:,}"


def _aggregates(found: Leaderboard) -> list[Sheet]:
    sheets = []
    for over, rows in found.aggregates.groupby("over", sort=False):
        complete = rows.n_tasks == rows.of_tasks
        ordered = rows.sort_values(["n_tasks", "mean"], ascending=False, kind="stable")
        sheets.append(
            Sheet(
                f"{found.published.name}, {over}",
                ("model", "tasks", "mean", "rank", "mean rank", "rank", "standardised", "rank"),
                tuple(_aggregate(row) for row in ordered.itertuples()),
                n_top=int(complete.sum()),
            )
        )
    return sheets


def _aggregate(row: Any) -> tuple[Text, ...]:
    cells = [Text(row.model, best=row.own), Text(f"{row.n_tasks}/{row.of_tasks}")]
    for name, style in (("mean", ".3f"), ("mean_rank", ".1f"), ("standardised", "+.3f")):
        rank = getattr(row, f"rank_by_{name}")
        value = getattr(row, name)
        cells.append(Text("-" if pd.isna(value) else format(value, style)))
        cells.append(Text("-" if pd.isna(rank) else f"{rank} of {row.of_models}"))
    return tuple(cells)


def _pairs(found: Leaderboard) -> list[Sheet]:
    sheets = []
    titles = {column.name: column.title for column in found.published.columns}
    for _, rows in found.pairs.groupby(["model", "task"], sort=False):
        model, task = rows.model.iloc[0], rows.task.iloc[0]
        ordered = rows.sort_values("other_value", ascending=False, kind="stable")
        sheets.append(
            Sheet(
                f"{model} on {titles[task]}: {rows.value.iloc[0]:.3f}",
                ("published model", "score", "difference of ours", "p", "ours is"),
                tuple(
                    (
                        Text(row.other),
                        Text(f"{row.other_value:.3f}"),
                        Text(f"{row.difference:+.3f}"),
                        Text(_p(row.p)),
                        Text(row.verdict),
                    )
                    for row in ordered.itertuples()
                ),
            )
        )
    return sheets


def _p(p: float) -> str:
    if pd.isna(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
