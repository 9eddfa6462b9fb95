"""``hear-byola results``: reading results."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.arguments import chosen_runs
from harness.commands.board import board
from harness.commands.compare import compare
from harness.commands.export import export
from harness.commands.merge import merge
from harness.commands.options import (
    Group,
    baseline,
    run_option,
    runs_argument,
    some_tasks,
    table_format,
    tasks_dir,
    ungrouped,
)
from harness.commands.power import power
from harness.commands.report import figures, report


@click.group(cls=Group)
def results() -> None:
    """Read results."""


@results.command("table")
@runs_argument
@run_option
@table_format
@click.option(
    "-m", "--model", "models", multiple=True, metavar="MODEL", help="Only this model. Repeatable."
)
@click.option("--protocol", "protocols", multiple=True, help="Only this protocol. Repeatable.")
@some_tasks
@baseline
@tasks_dir
@click.option(
    "--marks/--no-marks",
    default=True,
    help="Mark models that are not significantly different from the best of a task. Needs "
    "predictions in RUN.",
)
@ungrouped
def results_table(
    paths: tuple[Path, ...],
    runs: tuple[Path, ...],
    style: str,
    models: tuple[str, ...],
    protocols: tuple[str, ...],
    tasks: tuple[str, ...],
    exclude: tuple[str, ...],
    baselines: tuple[str, ...],
    tasks_dir: Path,
    marks: bool,
    ungrouped: bool,
) -> None:
    """Print the table of models × tasks.

    RUN is a run's folder or a results.csv. Without RUN: the folder runs.
    """
    from harness.api import format_table, load

    results = load(chosen_runs(*paths, *runs)).select(
        models=models, protocols=protocols, tasks=tasks, exclude=exclude
    )
    text = format_table(
        results,
        style,
        baselines=baselines,
        marks=marks,
        grouped=not ungrouped,
        tasks_dir=tasks_dir,
    )
    click.echo(text, nl=False)


results.add_command(board)
results.add_command(compare)
results.add_command(power)
results.add_command(merge)
results.add_command(export)
results.add_command(report)
results.add_command(figures)
