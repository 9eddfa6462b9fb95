"""Where a task is: a directory, a name in a folder of tasks, or a card of this package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError, did_you_mean
from harness.layout import METADATA
from tasks.card import Card, card, card_in, card_of_directory, cards, suites
from tasks.demo import demo_directory, demo_names

Found = tuple[Path, str]
"""A task directory, and the suite it belongs to (empty where it has no card)."""

_DEFAULT_TASKS_DIR = Path("tasks")  # of the commands' --tasks-dir


def find_task(name: str, tasks_dir: Path) -> Found:
    """Return the directory that ``name`` stands for.

    ``name`` is, in this order: a path to a task directory; a directory in ``tasks_dir``, by its
    whole name or by the task's name where that is the only one; a card's name.

    Raises:
        UserError: nothing of that name, or several; or a card whose task is not here.
    """
    if (Path(name) / METADATA).is_file() or "/" in name:
        return Path(name), _suite_of(Path(name))
    here = directories(tasks_dir)
    matches = [path for path in here if path.name == name]
    matches = matches or [path for path in here if path.name.startswith(f"{name}-")]
    if len(matches) > 1:
        listed = ", ".join(path.name for path in matches)
        raise UserError(f"'{name}' stands for several tasks in {tasks_dir}: {listed}. Name one.")
    if matches:
        return matches[0], _suite_of(matches[0])
    if name in cards():
        return _of_cards([card(name)], name, tasks_dir)[0]
    known = {path.name for path in here} | set(cards())
    raise UserError(
        f"No task '{name}' in {tasks_dir} or among the built-in ones."
        f"{did_you_mean(name, known)} `hear-byola tasks list` shows what there is."
    )


def find_suite(suite: str, tasks_dir: Path) -> list[Found]:
    """Return the directories of all tasks of a suite, by the cards in ``tasks_dir`` or our own.

    Raises:
        UserError: no such suite, or tasks of it that are not here, each by name and with the
            command that gets it.
    """
    chosen = cards_in(tasks_dir, suite) or cards_of_suite(suite)
    return _of_cards(chosen, f"the suite {suite}", tasks_dir)


def cards_of_suite(suite: str) -> tuple[Card, ...]:
    """Return a suite's cards, in alphabetical order.

    Raises:
        UserError: no such suite.
    """
    if suite not in suites():
        raise UserError(
            f"No suite '{suite}'.{did_you_mean(suite, suites())} "
            f"There are {', '.join(sorted(suites()))}."
        )
    return suites()[suite]


def cards_in(tasks_dir: Path, suite: str | None = None) -> tuple[Card, ...]:
    """Return the cards inside the task directories of a folder, or those of one suite.

    Raises:
        UserError: one of them is wrong.
    """
    found = [each for path in directories(tasks_dir) if (each := card_in(path))]
    return tuple(each for each in found if suite in (None, each.suite))


def find_card(name: str, tasks_dir: Path) -> Card:
    """Return a task's card by its name or its directory's: of ``tasks_dir``, else of the package.

    Raises:
        UserError: there is none, or it is wrong.
    """
    for own in cards_in(tasks_dir):
        if name in (own.name, own.directory):
            return own
    return card_of_directory(name) or card(name)


def domains(tasks_dir: Path) -> dict[str, str]:
    """Return the domain of each task directory with a card, in ``tasks_dir`` or of the package.

    Raises:
        UserError: a card in ``tasks_dir`` is wrong.
    """
    known = (*cards().values(), *cards_in(tasks_dir))
    return {each.directory: each.domain for each in known}


def place_of(each: Card, tasks_dir: Path) -> Path | None:
    """Return the directory of a card's task in ``tasks_dir``, or None when it is not there."""
    directory = tasks_dir / each.directory
    return directory if (directory / METADATA).is_file() else None


def is_built_in(each: Card) -> bool:
    """Whether the task comes with the package."""
    return each.name in demo_names()


def directories(tasks_dir: Path) -> list[Path]:
    """Return the task directories in a folder, by name; none where there is no such folder."""
    if not tasks_dir.is_dir():
        return []
    # Hidden ones are not finished (tasks.writer).
    seen = (path for path in tasks_dir.iterdir() if not path.name.startswith("."))
    return sorted(path for path in seen if (path / METADATA).is_file())


def _of_cards(chosen: Sequence[Card], what: str, tasks_dir: Path) -> list[Found]:
    """Return the directories of cards, which together are called ``what``."""
    places = {each.name: place_of(each, tasks_dir) for each in chosen if not is_built_in(each)}
    absent = [each for each in chosen if each.name in places and places[each.name] is None]
    if absent:
        part = "" if len(chosen) == 1 else f"{len(absent)} of the {len(chosen)} tasks of "
        raise UserError(
            "\n  ".join([f"Not in {tasks_dir}: {part}{what}.", *_ways_to_get(absent, tasks_dir)])
        )
    return [(places.get(each.name) or demo_directory(each.name), each.suite) for each in chosen]


def _ways_to_get(absent: Sequence[Card], tasks_dir: Path) -> list[str]:
    where = "" if tasks_dir == _DEFAULT_TASKS_DIR else f" --tasks-dir {tasks_dir}"
    to_fetch = " ".join(each.name for each in absent if each.published)
    to_prepare = [each.name for each in absent if not each.published]
    lines = []
    if to_fetch:
        lines.append(f"Published: `hear-byola tasks fetch {to_fetch}{where}`.")
    if to_prepare:
        lines.append(
            f"Made from a corpus in DIR, by `hear-byola tasks prepare NAME --source DIR{where}`: "
            f"{', '.join(to_prepare)}."
        )
    return lines


def _suite_of(directory: Path) -> str:
    found = card_of_directory(directory.resolve().name) or card_in(directory)
    return found.suite if found else ""
