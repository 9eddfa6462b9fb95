"""``hear-byola tasks fetch``: download and verify published tasks."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands import options
from harness.commands.output import report_failures, say
from harness.core.files import expand_home


@click.command(cls=options.Command)
@click.argument("names", nargs=-1)
@options.tasks_dir
@click.option("--suite", help="All published tasks of a suite, for example `hear2021`.")
@click.option(
    "--mirror",
    metavar="URL|DIR",
    help="Folder with copies of the archives, or its URL.",
)
@click.option("--keep-archive", is_flag=True, help="Keep downloads, in TASKS_DIR/archives.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Tasks to fetch at a time.",
)
def fetch(
    names: tuple[str, ...],
    tasks_dir: Path,
    suite: str | None,
    mirror: str | None,
    keep_archive: bool,
    jobs: int,
) -> int:
    """Download published tasks; verify those that are here already.

    NAMES are tasks of `hear-byola tasks list`. Running the command again resumes an interrupted
    download. Each archive is checked by the size and md5 that its record lists, and a task
    directory appears complete or not at all.
    """
    from harness.commands.fetch_progress import FetchDisplay
    from tasks.fetch import fetch as fetch_tasks
    from tasks.fetch.choice import published_among

    cards = published_among(names, suite, tasks_dir, say)
    with FetchDisplay() as display:
        fetched = fetch_tasks(
            cards,
            tasks_dir,
            mirror=mirror and expand_home(mirror),
            keep_archive=keep_archive,
            jobs=jobs,
            listener=display,
        )
    for card in cards:
        if card.name in fetched.directories:
            click.echo(fetched.directories[card.name])
    return report_failures(tuple(fetched.failures.items()))
