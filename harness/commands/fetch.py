"""``hear-byola tasks fetch``: published tasks, downloaded and verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands import options
from harness.commands.output import report_failures, say
from harness.core.errors import UserError
from harness.core.files import expand_home

if TYPE_CHECKING:
    from tasks.cards.card import Card


@click.command(cls=options.Command)
@click.argument("names", nargs=-1)
@options.tasks_dir
@click.option("--suite", help="All published tasks of a suite, for instance `hear2021`.")
@click.option(
    "--mirror",
    metavar="URL|DIR",
    help="Take the archives from here: a folder with copies of them, or its address.",
)
@click.option("--keep-archive", is_flag=True, help="Keep downloads, in TASKS_DIR/archives.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Tasks to fetch side by side.",
)
def fetch(
    names: tuple[str, ...],
    tasks_dir: Path,
    suite: str | None,
    mirror: str | None,
    keep_archive: bool,
    jobs: int,
) -> int:
    """Download published tasks, and verify those that are here.

    NAMES are tasks of `hear-byola tasks list`. A broken or stopped download goes on where it was
    when the command is run again. Each archive is checked by size and md5 as its record lists
    them, and a task directory appears whole or not at all.
    """
    from harness.commands.fetch_progress import FetchDisplay
    from tasks.fetch import fetch as fetch_tasks

    cards = _chosen(names, suite, tasks_dir)
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


def _chosen(names: tuple[str, ...], suite: str | None, tasks_dir: Path) -> list[Card]:
    """The published cards among all names and a suite, each once; the others are told of."""
    from tasks.cards.builtin import card
    from tasks.find import cards_of_suite, ways_to_get

    wanted = {name: card(name) for name in names}
    wanted |= {each.name: each for each in (cards_of_suite(suite) if suite else ())}
    chosen = [each for each in wanted.values() if each.published is not None]
    left_out = [each for each in wanted.values() if each.published is None]
    if left_out:
        names_left_out = ", ".join(each.name for each in left_out)
        ways = [f"  {line}" for line in ways_to_get(left_out, tasks_dir)]
        say("\n".join([f"not published, so left out: {names_left_out}", *ways]))
    if not chosen:
        raise UserError("There is nothing to fetch: name published tasks, or --suite hear2021.")
    return chosen
