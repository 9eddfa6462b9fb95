"""List the tasks as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.cards.builtin import cards
from tasks.cards.card import Card
from tasks.find import cards_in, directories, place_of, suite_in
from tasks.ways import is_built_in, none_of

_HEADER = ("NAME", "SUITE", "VERSION", "KIND", "FOLDS", "CLIPS", "HOURS", "METRIC", "HERE", "TITLE")
_RIGHT = ("FOLDS", "CLIPS", "HOURS")


def list_tasks(tasks_dir: Path, suite: str | None = None) -> str:
    """Return a table of the tasks with a card, then the other directories of ``tasks_dir``.

    Args:
        tasks_dir: folder of task directories; the column HERE shows which tasks it contains.
        suite: show only the tasks of this suite.

    Raises:
        UserError: there is no such suite.
    """
    chosen = known_tasks(tasks_dir, suite)
    if suite and not chosen:
        return none_of(suite, tasks_dir)
    rows = [_row(each, tasks_dir) for each in chosen]
    lines = _aligned([_HEADER, *rows])
    with_card = {each.directory for each in chosen}
    others = [path for path in directories(tasks_dir) if path.name not in with_card]
    if others and not suite:
        lines += ["", f"In {tasks_dir}, without a card:", *(f"  {path.name}" for path in others)]
    return "\n".join(lines)


def known_tasks(tasks_dir: Path, suite: str | None = None) -> list[Card]:
    """Return the cards of the package and of the directories in ``tasks_dir``, by suite and name.

    Raises:
        UserError: there is no such suite.
    """
    chosen = suite_in(suite, tasks_dir) if suite else (*cards().values(), *cards_in(tasks_dir))
    return sorted(chosen, key=lambda each: (each.suite, each.name, each.directory))


def _row(each: Card, tasks_dir: Path) -> tuple[str, ...]:
    if is_built_in(each):
        here = "built in"
    else:
        here = "yes" if place_of(each, tasks_dir) else "-"
    return (
        each.name,
        each.suite,
        each.task.version,
        f"{each.embedding_type} {each.prediction_type}",
        str(each.folds or "-"),
        "?" if each.clips is None else f"{each.clips:,}",
        "?" if each.hours is None else f"{each.hours:.{1 if each.hours >= 1 else 2}f}",
        each.metrics[0],
        here,
        each.title,
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if title in _RIGHT else cell.ljust(width)
            for cell, width, title in zip(row, widths, _HEADER)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
