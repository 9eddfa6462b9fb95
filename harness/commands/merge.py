"""``hear-byola results merge``: join results of several files and runs in one CSV."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import Command, FilePath, out_option
from harness.commands.output import say
from harness.core.counts import plural


@click.command(cls=Command)
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=FilePath(path_type=Path))
@out_option(
    required=True,
    metavar="OUT.csv",
    help="The CSV to write; never one of the inputs.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
def merge(paths: tuple[Path, ...], out: Path, overwrite: bool) -> None:
    """Join the results of several runs in one CSV.

    RUN is a run's folder or a results.csv. Of several rows of one evaluation, the newest is kept,
    and the others are listed. The parts of a run with --shard on several machines can be joined in
    this way. Predictions are not copied: commands that need them, such as comparisons, need the
    runs' folders.
    """
    from harness.results import write_csv
    from harness.results.merge import check_output, describe_left_out
    from harness.results.merge import merge as join

    check_output(out, paths, overwrite=overwrite)
    merged = join(paths)
    for line in describe_left_out(merged.left_out):
        say(line)
    for doubt in merged.doubts:
        click.secho(f"Warning: {doubt}", fg="yellow", err=True)
    write_csv(merged.table, out)
    left_out = plural(len(merged.left_out), "other")
    click.echo(f"{out}: {plural(len(merged.table), 'row')}; {left_out} left out")
