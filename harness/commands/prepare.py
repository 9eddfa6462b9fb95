"""``hear-byola tasks prepare``: a raw corpus to a task directory."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.options import Command


@click.command("prepare", cls=Command)
@click.argument("name")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder that holds the corpus, unpacked or in its archives.",
)
@click.option(
    "--tasks-dir",
    type=click.Path(path_type=Path),
    default=Path("tasks"),
    show_default=True,
    help="Where the task directory goes.",
)
@click.option(
    "--sample-rate",
    "rates",
    type=click.IntRange(min=1),
    multiple=True,
    help="Rate of the task's audio in Hz. Repeatable.  [default: 16000, or 48000 where the "
    "corpus has more than 16000 can hold]",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: one a core]")
def prepare(
    name: str, source: Path, tasks_dir: Path, rates: tuple[int, ...], jobs: int | None
) -> None:
    """Make a task directory from a corpus as its publisher packs it.

    Stopped at any moment, the same command goes on. NAME is one of nsynth_instrument,
    urbansound8k, voxceleb1, voxforge, speech_commands_v2_12, speech_commands_v2_35,
    speech_commands_5h, speech_commands_full, spoken_digit and esc50.
    """
    from tasks.prepare.run import prepare as prepare_task

    directory = prepare_task(
        name,
        source,
        tasks_dir,
        rates=rates,
        jobs=jobs or os.cpu_count() or 1,
        say=lambda line: click.echo(line, err=True),
    )
    click.echo(directory)
