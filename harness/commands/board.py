"""``hear-byola results board``: results among published ones."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.arguments import chosen_runs
from harness.commands.options import Command, FilePath, table_format
from harness.core.errors import UserError


@click.command(cls=Command)
@click.argument("paths", nargs=-1, type=FilePath(path_type=Path))
@click.option(
    "--board",
    "name",
    default="hear2021",
    show_default=True,
    help="hear2021, audiontt or byola-paper: results/published/README.md says what they are.",
)
@click.option(
    "--show",
    "tables",
    multiple=True,
    type=click.Choice(["placements", "aggregates", "pairs", "paired"]),
    help="placements: our rank task by task; aggregates: one number for a model, of all models; "
    "pairs: ours against each published model, by scores; paired: ours against each other, clip by "
    "clip. Repeatable.  [default: placements and aggregates, and paired where PATHS have "
    "predictions of several models; of a csv, placements]",
)
@table_format
def board(paths: tuple[Path, ...], name: str, tables: tuple[str, ...], style: str) -> None:
    """Rank the results of PATHS, results.csv files or runs' folders, among published ones.

    Without PATHS: the folder runs.

    Only rows by the protocol that the published scores were made by may stand on a board, and only
    on the published task directories.
    """
    from harness.analysis.board import board as place
    from harness.analysis.board.published import read_published
    from harness.analysis.board.text import format_board, format_paired
    from harness.analysis.compare.gather import gather
    from harness.results import COLUMNS

    paths = chosen_runs(*paths)
    results = gather(paths)
    found = place(results.table[COLUMNS], read_published(name))
    several = len(found.models) > 1
    paired = "paired" in tables or (
        not tables and style != "csv" and several and results.has_predictions
    )
    shown = tuple(table for table in tables if table != "paired")
    if style == "csv" and len(tables) > 1:
        raise UserError("A csv holds one table: name one by --show.")
    parts = []
    if shown or not tables:
        parts.append(format_board(found, style, shown))
    if paired:
        parts.append(format_paired(found, paths, style))
    click.echo("\n".join(parts), nl=False)
