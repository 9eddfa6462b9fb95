"""``hear-byola results``: reading results."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.arguments import run_with_predictions
from harness.commands.board import board
from harness.commands.compare import compare
from harness.commands.merge import merge
from harness.commands.options import Group, table_format, tasks_dir
from harness.commands.report import figures, report


@click.group(cls=Group)
def results() -> None:
    """Read results."""


@results.command("table")
@click.argument("path", type=click.Path(path_type=Path), default=Path("runs"))
@table_format
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="MODEL",
    help="A model that stands on top as a baseline, beside log-mel statistics and random weights. "
    "Repeatable.",
)
@tasks_dir
@click.option(
    "--marks/--no-marks",
    default=True,
    help="Whether models within noise of the best are marked, where predictions are in PATH.",
)
def results_table(
    path: Path, style: str, baselines: tuple[str, ...], tasks_dir: Path, marks: bool
) -> None:
    """Print the table of models × tasks from PATH: a results.csv or a run's folder."""
    from harness.results import load
    from harness.table import format_table
    from harness.table.cells import Noise
    from tasks.find import domains

    table = load(path)
    noise = Noise() if marks else None
    if marks and run_with_predictions(path):
        # Comparing imports torch, which a table alone does not take.
        from harness.table.noise import find_noise

        noise = find_noise(table, path)
    click.echo(format_table(table, style, domains(tasks_dir), baselines, noise), nl=False)


results.add_command(board)
results.add_command(compare)
results.add_command(merge)
results.add_command(report)
results.add_command(figures)
