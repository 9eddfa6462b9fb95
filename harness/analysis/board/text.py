"""A board as tables: where our models stand task by task, and the aggregates of all."""

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
from harness.core.rendering import STYLES, Sheet, Text, render

TABLES = ("placements", "aggregates", "pairs")

_NOTES = {
    "placements": (
        "Rank: 1 + published models that score higher, each model by itself among the published "
        f"ones. {NOT_SEPARABLE.capitalize()}: published models whose accuracy a two-proportion z "
        "test (unpaired, pooled variance, two-sided, 5 % each, not corrected for many) does not "
        "tell from ours on so many test clips. That does not make them equal: a paired test, which "
        "needs their predictions, sees more. Other metrics, and unknown numbers of clips: no "
        "interval is known, and nothing is claimed."
    ),
    "aggregates": (
        "Each over the tasks that a model has, none filled in; ranks among the models that have "
        "all of them. Models that lack tasks stand below, by how many they have: their means are "
        "over other tasks, and do not compare. Mean rank: of the ranks on the tasks. Standardised: "
        "scores brought to mean 0 and deviation 1 over the published models of the task, clipped "
        "to [-1, 1]. Published numbers and ranks do not depend on ours. Bold: ours."
    ),
    "pairs": "",
}


def format_board(found: Leaderboard, style: str = "markdown", tables: Sequence[str] = ()) -> str:
    """Return tables of a board as markdown, csv, latex or html.

    Args:
        found: the board.
        style: the format; csv has the frames' own columns.
        tables: among ``TABLES``; none: placements and aggregates, in csv placements.

    Raises:
        UserError: an unknown format or table, or a csv of several tables.
    """
    if style not in (*STYLES, "csv"):
        known = ", ".join(sorted([*STYLES, "csv"]))
        raise UserError(f"--format must be one of {known}, not '{style}'.")
    unknown = [name for name in tables if name not in TABLES]
    if unknown:
        raise UserError(f"There is no table '{unknown[0]}': there are {', '.join(TABLES)}.")
    if style == "csv":
        if len(tables) > 1:
            raise UserError("A csv holds one table: name one by --show.")
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
    """Count the tasks that have no row in the placements, a sentence for each model."""
    missing = found.placements.status == "missing"
    return [
        f"{model} has no result on {n} of {plural(len(found.published.columns), 'task')}."
        for model, n in missing.groupby(found.placements.model, sort=False).sum().items()
        if n
    ]


def _shared(found: Leaderboard) -> list[str]:
    """Name the tasks of the aggregates that are not over all."""
    placed = found.placements[found.placements.status == "done"]
    n_models = placed.groupby("title", sort=False).model.nunique()
    shared = n_models.index[n_models == len(found.models)]
    over = plural(len(shared), "task")
    if over not in set(found.aggregates.over) or len(shared) == len(found.published.columns):
        return []
    ours = "that all of ours have" if len(found.models) > 1 else f"that {found.models[0]} has"
    return [f"{over}: those {ours}, {', '.join(shared)}."]


def format_paired(found: Leaderboard, runs: Sequence[Path], style: str = "markdown") -> str:
    """Return the comparison of our models on the board with each other, clip by clip.

    Args:
        found: the board, with two models of ours or more.
        runs: where their results and predictions are.
        style: the format.

    Raises:
        UserError: an unknown format, fewer than two models, or no results in ``runs``.
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
