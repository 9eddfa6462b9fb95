"""``hear-byola results power``: the smallest difference that each comparison detects."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.arguments import chosen_runs
from harness.commands.options import Command, compared, run_option, runs_argument, table_format


@click.command(cls=Command)
@runs_argument
@run_option
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="A model, as tables name it; the others are compared with the first. Repeatable.  "
    "[default: all, with the one of the best mean rank]",
)
@compared
@click.option(
    "--difference",
    type=click.FloatRange(0, min_open=True),
    help="Also compute the test set, or the number of probe seeds, that this difference needs.",
)
@click.option(
    "--power",
    type=click.FloatRange(0.05, 1, min_open=True, max_open=True),
    default=0.8,
    show_default=True,
    help="Probability of detecting a true difference.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    help="Plan for this many probe seeds of each model.  [default: those of the run]",
)
@table_format
def power(
    paths: tuple[Path, ...],
    runs: tuple[Path, ...],
    models: tuple[str, ...],
    protocol: str | None,
    tasks: tuple[str, ...],
    exclude: tuple[str, ...],
    ungrouped: bool,
    difference: float | None,
    power: float,
    seeds: int | None,
    style: str,
) -> None:
    """Print which differences between models a run can detect.

    RUN is a run's folder or a results.csv. Without RUN: the folder runs. The smallest difference
    that a comparison would detect depends on the pair of models, the task's test clips or groups,
    and the probe seeds. --difference adds the numbers of clips, groups or seeds that a given
    difference needs.
    """
    from harness.analysis.compare.gather import load
    from harness.analysis.compare.plan import format_power
    from harness.analysis.compare.plan import power as plan

    results = load(chosen_runs(*paths, *runs)).select(tasks=tasks, exclude=exclude)
    rows = plan(results, models, protocol, difference, power, seeds=seeds, grouped=not ungrouped)
    click.echo(format_power(rows, style), nl=False)
