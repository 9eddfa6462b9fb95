"""``hear-byola tasks prepare``: make a task directory from a corpus."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands import options
from harness.commands.output import say


@click.command("prepare", cls=options.Command)
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
    """Make a task directory from a corpus as its publisher distributes it.

    After a stop, the same command resumes. NAME is one of nsynth_instrument,
    urbansound8k, voxceleb1, voxforge, speech_commands_v2_12, speech_commands_v2_35,
    speech_commands_5h, speech_commands_full, spoken_digit and esc50.
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
