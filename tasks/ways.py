"""Return the ways to get a missing task: the command, or that it comes with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.cards.card import OWN, Card
from tasks.demo import demo_names
from tasks.format.files import METADATA
from tasks.format.spec import part_of
from tasks.format.task import SYNTHETIC

_DEFAULT_TASKS_DIR = Path("tasks")  # of the commands' --tasks-dir

MADE_BY = {OWN: "tasks make", SYNTHETIC: "tasks make --synthetic KIND"}
"""The suites whose tasks users make, and the command that makes one."""


def is_built_in(each: Card) -> bool:
    """Return whether the task comes with the package."""
    return each.name in demo_names()


def ways_to_get(absent: Sequence[Card], tasks_dir: Path) -> list[str]:
    """Return a line for each way to get tasks that are not in ``tasks_dir``."""
    # Imported here, because the modules of the corpora take long to import.
    from tasks.prepare.registry import CORPORA

    where = "" if tasks_dir == _DEFAULT_TASKS_DIR else f" --tasks-dir {tasks_dir}"
    to_fetch = " ".join(each.name for each in absent if each.published)
    unpublished = [each for each in absent if not each.published]
    to_prepare = [each.name for each in unpublished if each.name in CORPORA]
    lines = [f"Comes with the package: {each.name}." for each in unpublished if is_built_in(each)]
    if to_fetch:
        lines.append(f"Published: `hear-byola tasks fetch {to_fetch}{where}`.")
    if to_prepare:
        lines.append(
            f"Made from a corpus in DIR, by `hear-byola tasks prepare NAME --source DIR{where}`: "
            f"{', '.join(to_prepare)}."
        )
    for each in unpublished:
        if each.name not in CORPORA and not is_built_in(each):
            lines.append(
                f"Not published, and no command makes it: put {each.directory} into {tasks_dir}."
            )
    for each in absent:
        part = tasks_dir / part_of(each.task).name
        if (part / METADATA).is_file():
            lines.append(f"There is a part of {each.name}, with fewer clips: {part.name}.")
    return lines


def none_of(suite: str, tasks_dir: Path) -> str:
    """Return a sentence that a suite whose tasks users make has no task."""
    return (
        f"{tasks_dir} contains no task of the suite {suite}. `hear-byola {MADE_BY[suite]}` makes "
        "one."
    )
