"""``hear-byola tasks prepare``: make a task directory from a corpus."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands import options
from harness.commands.output import say


class _Prepare(options.Command):
    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does, and the corpora that it knows."""
        from tasks.prepare.registry import CORPORA

        super().format_help_text(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(f"NAME is one of {', '.join(CORPORA)}.")


@click.command("prepare", cls=_Prepare)
@click.argument("name")
@click.option(
    "--source",
    type=options.FilePath(path_type=Path),
    required=True,
    help="Folder with the corpus, unpacked or in its archives.",
)
@options.tasks_dir
@options.rates
@options.jobs
@click.option("--skip-bad", is_flag=True, help="Leave out sounds that cannot be read.")
def prepare(
    name: str,
    source: Path,
    tasks_dir: Path,
    rates: tuple[int, ...],
    jobs: int,
    skip_bad: bool,
) -> None:
    """Make a task directory from a published corpus.

    The corpus is in the form in which its publisher distributes it. After a stop, the same command
    resumes.
    """
    from tasks.prepare.run import prepare as prepare_task

    directory = prepare_task(
        name,
        source,
        tasks_dir,
        rates=rates,
        jobs=jobs,
        skip_bad=skip_bad,
        say=say,
    )
    click.echo(directory)
