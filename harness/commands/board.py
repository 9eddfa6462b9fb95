"""``hear-byola results board``: rank results among published ones."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.arguments import chosen_runs
from harness.commands.options import Command, runs_argument, table_format
from harness.core.errors import UserError


@click.command(cls=Command)
@runs_argument
@click.option(
    "--board",
    "name",
    default="hear2021",
    show_default=True,
    help="hear2021, audiontt or byola-paper: results/published/README.md describes them.",
)
@click.option(
    "--show",
    "tables",
    multiple=True,
    type=click.Choice(["placements", "aggregates", "pairs", "paired"]),
    help="placements: the rank of our models on each task; aggregates: one number for each model; "
    "pairs: our models against each published one, by scores; paired: our models against each "
    "other, clip by clip. Repeatable.  [default: placements and aggregates, and paired if RUN has "
    "predictions of several models; with --format csv: placements]",
)
@table_format
def board(paths: tuple[Path, ...], name: str, tables: tuple[str, ...], style: str) -> None:
    """Rank results among published scores.

    RUN is a run's folder or a results.csv. Without RUN: the folder runs. Only results of the
    protocol and of the task directories that the published scores were made with are ranked.
    """
    from harness.analysis.board import board as place
    from harness.analysis.board.published import read_published
    from harness.analysis.board.text import format_board, format_paired
    from harness.analysis.compare.gather import load
    from harness.results import COLUMNS

    paths = chosen_runs(*paths)
    results = load(paths)
    found = place(results.table[COLUMNS], read_published(name))
    several = len(found.models) > 1
    paired = "paired" in tables or (
        not tables and style != "csv" and several and results.has_predictions
    )
    shown = tuple(table for table in tables if table != "paired")
    if style == "csv" and len(tables) > 1:
        raise UserError("A csv contains one table: choose one with --show.")
    parts = []
    if shown or not tables:
        parts.append(format_board(found, style, shown))
    if paired:
        parts.append(format_paired(found, paths, style))
    click.echo("\n".join(parts), nl=False)
