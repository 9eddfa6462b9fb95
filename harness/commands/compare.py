"""``hear-byola results compare``: test differences between models."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.arguments import chosen_runs, divide_runs
from harness.commands.options import Command, compared, run_option, table_format


@click.command(cls=Command)
@click.argument("words", nargs=-1, required=True, metavar="A B [C]... [RUN]...")
@run_option
@compared
@click.option("--all-pairs", is_flag=True, help="Compare every two models, not all with A.")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Also test whether models are equivalent: whether they differ by less than this.",
)
@table_format
def compare(
    words: tuple[str, ...],
    runs: tuple[Path, ...],
    protocol: str | None,
    tasks: tuple[str, ...],
    exclude: tuple[str, ...],
    ungrouped: bool,
    all_pairs: bool,
    margin: float | None,
    style: str,
) -> None:
    """Test the differences between models, clip by clip.

    A, B, ... are models as tables name them. All others are compared with A. RUN is a run's folder
    or a results.csv. Without RUN: the folder runs. Each table has the difference on every task with
    its interval, p value and verdict, Holm's correction over tasks, the smallest difference that
    would be detected, and the mean over tasks; with three models or more also mean ranks.
    """
    from harness.analysis.compare import compare_all, format_comparisons
    from harness.analysis.compare.gather import load
    from harness.analysis.compare.pair import PairOptions

    models, named = divide_runs(words)
    results = load(chosen_runs(*named, *runs)).select(tasks=tasks, exclude=exclude)
    options = PairOptions(grouped=not ungrouped, margin=margin)
    found = compare_all(results, models, protocol, all_pairs=all_pairs, options=options)
    click.echo(format_comparisons(found, style), nl=False)
