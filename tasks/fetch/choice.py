"""Choose the tasks to fetch: the published ones among those that a user names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.core.errors import UserError
from tasks.cards.builtin import card
from tasks.cards.card import Card
from tasks.find import cards_of_suite
from tasks.ways import ways_to_get


def published_among(
    names: Sequence[str], suite: str | None, tasks_dir: Path, say: Callable[[str], None]
) -> list[Card]:
    """Return the published cards among some names and a suite, each once.

    Args:
        names: names of cards.
        suite: also all tasks of this suite.
        tasks_dir: the folder of task directories.
        say: receives the names of unpublished tasks and the ways to get them.

    Raises:
        UserError: a name or the suite is unknown, or none of the tasks is published.
    """
    wanted = {name: card(name) for name in names}
    wanted |= {each.name: each for each in (cards_of_suite(suite) if suite else ())}
    left_out = [each for each in wanted.values() if each.published is None]
    if left_out:
        names_left_out = ", ".join(each.name for each in left_out)
        ways = [f"  {line}" for line in ways_to_get(left_out, tasks_dir)]
        say("\n".join([f"not published, so left out: {names_left_out}", *ways]))
    chosen = [each for each in wanted.values() if each.published is not None]
    if not chosen:
        raise UserError("There is nothing to fetch: name published tasks, or --suite hear2021.")
    return chosen
