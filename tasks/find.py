"""Where a task is: a directory, a name in a folder of tasks, or a card of this package."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml

from harness.errors import UserError, did_you_mean
from harness.layout import METADATA
from tasks.card import Card, card, cards, suites
from tasks.demo import demo_directory, demo_names

Found = tuple[Path, str]
"""A task directory, and the suite it belongs to (empty where it has no card)."""


def find_task(name: str, tasks_dir: Path) -> Found:
    """Return the directory that ``name`` stands for.

    ``name`` is, in this order: a path to a task directory; a directory in ``tasks_dir``, by its
    whole name or by the task's name where that is the only one; a card's name.

    Raises:
        UserError: nothing of that name, or several.
    """
    if (Path(name) / METADATA).is_file() or "/" in name:
        return Path(name), _suite_of(Path(name).name)
    here = _directories(tasks_dir)
    matches = [path for path in here if path.name == name]
    matches = matches or [path for path in here if path.name.startswith(f"{name}-")]
    if len(matches) > 1:
        listed = ", ".join(path.name for path in matches)
        raise UserError(f"'{name}' stands for several tasks in {tasks_dir}: {listed}. Name one.")
    if matches:
        return matches[0], _suite_of(matches[0].name)
    if name in cards():
        return _of_card(card(name), tasks_dir)
    known = {path.name for path in here} | set(cards())
    raise UserError(
        f"No task '{name}' in {tasks_dir} or among the built-in ones."
        f"{did_you_mean(name, known)} `hear-byola tasks list` shows what there is."
    )


def find_suite(suite: str, tasks_dir: Path) -> list[Found]:
    """Return the directories of all tasks of a suite.

    Raises:
        UserError: no such suite, or one of its tasks is not here.
    """
    if suite not in suites():
        raise UserError(
            f"No suite '{suite}'.{did_you_mean(suite, suites())} There are {', '.join(suites())}."
        )
    return [_of_card(each, tasks_dir) for each in suites()[suite]]


def describe_all(tasks_dir: Path) -> str:
    """Return a line a task: those with a card, then the other directories of ``tasks_dir``."""
    lines = [
        f"{each.name:<24} {each.suite:<8} {each.embedding_type:<6} {each.prediction_type:<11} "
        f"{each.metrics[0]:<24} {each.title}"
        for each in cards().values()
    ]
    with_card = {each.directory for each in cards().values()}
    lines += [str(path) for path in _directories(tasks_dir) if path.name not in with_card]
    return "\n".join(lines)


def describe(name: str) -> str:
    """Return a task's card as YAML.

    Raises:
        UserError: no card of that name.
    """
    fields = dataclasses.asdict(card(name))
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=96).rstrip()


def _of_card(each: Card, tasks_dir: Path) -> Found:
    if each.name in demo_names():
        return demo_directory(each.name), each.suite
    directory = tasks_dir / each.directory
    if not directory.is_dir():
        raise UserError(
            f"{each.name}: there is no {directory}. Unpack the task there, or name its folder's "
            "parent with --tasks-dir."
        )
    return directory, each.suite


def _directories(tasks_dir: Path) -> list[Path]:
    if not tasks_dir.is_dir():
        return []
    return sorted(path for path in tasks_dir.iterdir() if (path / METADATA).is_file())


def _suite_of(directory_name: str) -> str:
    return next((c.suite for c in cards().values() if c.directory == directory_name), "")
