"""``hear-byola tasks``: list, show, fetch, prepare, make and check tasks."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands import options
from harness.commands.check import check
from harness.commands.fetch import fetch
from harness.commands.make import make
from harness.commands.output import say
from harness.commands.prepare import prepare


@click.group(cls=options.Group)
def tasks() -> None:
    """List, show, fetch, prepare, make and check tasks."""


@tasks.command("list")
@options.tasks_dir
@click.option("--suite", help="Only tasks of this suite, for example `hear2021`.")
def tasks_list(tasks_dir: Path, suite: str | None) -> None:
    """List all known tasks, and which of them are here.

    A task is known if it has a card. Other task directories in --tasks-dir are listed, too.
    """
    from tasks.listing import list_tasks

    click.echo(list_tasks(tasks_dir, suite))


@tasks.command("show")
@click.argument("name")
@options.tasks_dir
def tasks_show(name: str, tasks_dir: Path) -> None:
    """Show a task: its name in `tasks list`, or its directory.

    Prints the task's card as YAML; for a directory without a card, the fields that its tables give.
    The location of the task, or how to get it, is printed on standard error.
    """
    from tasks.show import show_task

    text, place = show_task(name, tasks_dir)
    click.echo(text, nl=False)
    say(place)


tasks.add_command(check)
tasks.add_command(fetch)
tasks.add_command(prepare)
tasks.add_command(make)
