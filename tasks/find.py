"""Find task directories and cards by a path, a name or a suite."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import UserError, did_you_mean
from harness.core.files import expand_home
from tasks.cards.builtin import card, card_of_directory, cards, is_card, suites
from tasks.cards.card import Card
from tasks.cards.cardfile import card_in, misplaced
from tasks.demo import demo_directory
from tasks.format.files import METADATA
from tasks.format.task import TaskSource
from tasks.ways import MADE_BY, is_built_in, none_of, ways_to_get

Found = tuple[Path, str]
"""A task directory and its suite ("" if it has no card)."""


def find_task(name: str, tasks_dir: Path) -> Found:
    """Return the directory of a task.

    ``name`` is read, in this order, as a path to a task directory; as the full name of a directory
    in ``tasks_dir``; as a task's name, if one directory of ``tasks_dir`` has it; as a card's name.

    Raises:
        UserError: no task or several tasks have that name, the card is invalid, or its task is
            not here.
    """
    directory = directory_of(name, tasks_dir)
    if directory is not None:
        return directory, _suite_of(directory)
    if is_card(name):
        return _of_cards([card(name)], name, tasks_dir)[0]
    if (here := Path(expand_home(name))).is_dir():
        return here, ""  # reading it reports the missing files
    raise _no_task(name, tasks_dir)


def directory_to_check(name: str, tasks_dir: Path) -> Path:
    """Return the directory that a name means as in :func:`find_task`, or any path that exists.

    Raises:
        UserError: nothing of that name, or several.
    """
    found = directory_of(name, tasks_dir)
    if found is None and Path(name).exists():
        return Path(name)  # no task: the findings say what it lacks
    return found or find_task(name, tasks_dir)[0]


def _no_task(name: str, tasks_dir: Path) -> UserError:
    here = [path.name for path in directories(tasks_dir)]
    known = [*(directory.rsplit("-", 2)[0] for directory in here), *here, *cards()]
    folder = "" if tasks_dir.is_dir() else f" There is no folder {tasks_dir}."
    return UserError(
        f"No task '{name}' in {tasks_dir} or among the built-in tasks."
        f"{did_you_mean(name, known)}{folder} `hear-byola tasks list` lists all tasks."
    )


def find_suite(suite: str, tasks_dir: Path) -> list[Found]:
    """Return the directories of all tasks of a suite, by the cards in ``tasks_dir`` or built in.

    Raises:
        UserError: there is no such suite, or some of its tasks are not here; the message names
            each and the command that gets it.
    """
    chosen = suite_in(suite, tasks_dir)
    if not chosen:
        raise UserError(none_of(suite, tasks_dir))
    return _of_cards(chosen, f"the suite {suite}", tasks_dir)


def find_sources(
    names: Sequence[str], suite: str | None, tasks_dir: Path
) -> tuple[TaskSource, ...]:
    """Return the tasks of all names and of a suite, each once, with their cards' group patterns.

    Raises:
        UserError: no task is named, or as :func:`find_task` and :func:`find_suite`.
    """
    found = [find_task(name, tasks_dir) for name in names]
    if suite:
        found += find_suite(suite, tasks_dir)
    if not found:
        raise UserError("No task is named. Give --task (a name or a directory) or --suite.")
    unique = {
        directory: TaskSource(directory, card_suite, group_pattern=group_pattern(directory))
        for directory, card_suite in found
    }
    return tuple(unique.values())


def suite_in(suite: str, tasks_dir: Path) -> tuple[Card, ...]:
    """Return a suite's cards in ``tasks_dir``, else the built-in cards.

    A suite whose tasks users make has no built-in card.

    Raises:
        UserError: there is no such suite.
    """
    here = cards_in(tasks_dir, suite)
    if here or suite in MADE_BY:
        return here
    if suite in suites():
        return suites()[suite]
    own = sorted({each.suite for each in cards_in(tasks_dir)})
    raise _no_suite(suite, [*own, *sorted(suites())])


def cards_of_suite(suite: str) -> tuple[Card, ...]:
    """Return a suite's built-in cards, in alphabetical order.

    Raises:
        UserError: there is no such suite.
    """
    if suite not in suites():
        raise _no_suite(suite, sorted(suites()))
    return suites()[suite]


def _no_suite(suite: str, known: Sequence[str]) -> UserError:
    known = list(dict.fromkeys(known))
    return UserError(
        f"No suite '{suite}'.{did_you_mean(suite, known)} There are {', '.join(known)}."
    )


def cards_in(tasks_dir: Path, suite: str | None = None) -> tuple[Card, ...]:
    """Return the cards inside the task directories of a folder, or only those of one suite.

    Invalid cards are left out with a warning.
    """
    found = []
    for path in directories(tasks_dir):
        own = _card_or_warning(path)
        if own is not None and (fault := misplaced(own, path)):
            warnings.warn(f"{fault} It is left out.", stacklevel=1)
        elif own is not None and suite in (None, own.suite):
            found.append(own)
    return tuple(found)


def group_pattern(directory: Path) -> str:
    """Return the ``group_pattern`` of a task directory's card, or "" if there is none.

    The card is the one inside the directory, else the package's card of the directory's name. An
    invalid card is skipped with a warning.
    """
    own = _card_or_warning(directory)
    if own is None or misplaced(own, directory):
        own = card_of_directory(directory.resolve().name)
    return (own.group_pattern if own else None) or ""


def find_card(name: str, tasks_dir: Path) -> Card | None:
    """Return a task's card, or None if its directory has none.

    ``name`` is as for :func:`find_task`. A card of another task, left in a copied directory, is
    ignored with a warning.

    Raises:
        UserError: no task or several tasks have that name, or the card is invalid.
    """
    directory = directory_of(name, tasks_dir)
    if directory is None:
        found = card_of_directory(name) or (card(name) if is_card(name) else None)
        if found is None:
            raise _no_task(name, tasks_dir)
        return found
    own = card_in(directory)
    if own is not None and (fault := misplaced(own, directory)):
        warnings.warn(fault, stacklevel=2)
        return None
    return own or card_of_directory(directory.resolve().name)


def domains(tasks_dir: Path) -> dict[str, str]:
    """Return the domain of each task directory with a card, in ``tasks_dir`` or of the package."""
    known = (*cards().values(), *cards_in(tasks_dir))
    return {each.directory: each.domain for each in known}


def place_of(each: Card, tasks_dir: Path) -> Path | None:
    """Return the directory of a card's task in ``tasks_dir``, or None if there is none."""
    directory = tasks_dir / each.directory
    return directory if (directory / METADATA).is_file() else None


def directories(tasks_dir: Path) -> list[Path]:
    """Return the task directories in a folder, by name; none if the folder does not exist."""
    if not tasks_dir.is_dir():
        return []
    # Hidden directories are not complete (tasks.format.writer).
    seen = (path for path in tasks_dir.iterdir() if not path.name.startswith("."))
    return sorted(path for path in seen if (path / METADATA).is_file())


def _of_cards(chosen: Sequence[Card], what: str, tasks_dir: Path) -> list[Found]:
    """Return the directories of cards; errors call the cards ``what``."""
    places = {each.name: place_of(each, tasks_dir) for each in chosen if not is_built_in(each)}
    absent = [each for each in chosen if each.name in places and places[each.name] is None]
    if absent:
        part = "" if len(chosen) == 1 else f"{len(absent)} of the {len(chosen)} tasks of "
        raise UserError(
            "\n  ".join([f"Not in {tasks_dir}: {part}{what}.", *ways_to_get(absent, tasks_dir)])
        )
    return [(places.get(each.name) or demo_directory(each.name), each.suite) for each in chosen]


def directory_of(name: str, tasks_dir: Path) -> Path | None:
    """Return the task directory of a path or a name, or None if it is not here."""
    name = expand_home(name)
    if (Path(name) / METADATA).is_file() or "/" in name:
        return Path(name)
    here = directories(tasks_dir)
    matches = [path for path in here if path.name == name]
    matches = matches or [path for path in here if path.name.startswith(f"{name}-")]
    if len(matches) > 1:
        listed = ", ".join(path.name for path in matches)
        raise UserError(f"'{name}' matches several tasks in {tasks_dir}: {listed}. Name one.")
    return matches[0] if matches else None


def _suite_of(directory: Path) -> str:
    found = card_of_directory(directory.resolve().name) or _card_or_warning(directory)
    return found.suite if found else ""


def _card_or_warning(directory: Path) -> Card | None:
    try:
        return card_in(directory)
    except UserError as error:
        warnings.warn(f"{error} It is left out.", stacklevel=1)
        return None
