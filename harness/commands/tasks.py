"""``hear-byola tasks``: what tasks there are, and whether they are whole."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands import options
from harness.commands.check import check
from harness.commands.fetch import fetch
from harness.commands.make import make
from harness.commands.prepare import prepare


@click.group(cls=options.Group)
def tasks() -> None:
    """List, show, fetch, prepare, make and check tasks."""


@tasks.command("list")
@options.tasks_dir
@click.option("--suite", help="The tasks of this suite alone, for instance `hear2021`.")
def tasks_list(tasks_dir: Path, suite: str | None) -> None:
    """List the tasks with a card, which of them are here, and other task directories."""
    from tasks.listing import list_tasks

    click.echo(list_tasks(tasks_dir, suite))


@tasks.command("show")
@click.argument("name")
@options.tasks_dir
def tasks_show(name: str, tasks_dir: Path) -> None:
    """Show the card of a task: its name in `tasks list`, or its directory.

    The card alone goes to standard output, where the task is or how to get it to standard error.
    """
    from tasks.card import write_card
    from tasks.find import find_card, whereabouts

    card = find_card(name, tasks_dir)
    click.echo(write_card(card), nl=False)
    click.echo(whereabouts(name, card, tasks_dir), err=True)


tasks.add_command(check)
tasks.add_command(fetch)
tasks.add_command(prepare)
tasks.add_command(make)
