"""``hear-byola results``: reading results."""

from __future__ import annotations

from pathlib import Path

import click

from harness.options import Group


@click.group(cls=Group)
def results() -> None:
    """Read results."""


@results.command("table")
@click.argument("path", type=click.Path(path_type=Path), default=Path("runs"))
@click.option(
    "--format",
    "style",
    type=click.Choice(["markdown", "csv", "latex", "html"]),
    default="markdown",
    show_default=True,
)
def results_table(path: Path, style: str) -> None:
    """Print the table of models × tasks from PATH: a results.csv or a run's folder."""
    from harness.results import load
    from harness.table import format_table

    click.echo(format_table(load(path), style), nl=False)
