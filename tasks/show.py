"""Return the card of a task, or a description made from its directory, for ``tasks show``."""

from __future__ import annotations

from pathlib import Path

from tasks.cards.card import Card
from tasks.cards.cardfile import to_yaml, write_card
from tasks.find import directory_of, find_card, place_of
from tasks.format.task import read_task
from tasks.ways import is_built_in, ways_to_get


def show_task(name: str, tasks_dir: Path) -> tuple[str, str]:
    """Return a task's card as YAML, and a sentence with its location.

    If a task directory has no card, the fields of a card that its tables contain are returned.

    Args:
        name: a task as :func:`tasks.find.find_task` takes it, or a card.
        tasks_dir: folder of task directories.

    Raises:
        UserError: there is no such task, or its card or its directory cannot be read.
    """
    found = find_card(name, tasks_dir)
    if found is not None:
        return write_card(found), _whereabouts(name, found, tasks_dir)
    directory = directory_of(name, tasks_dir) or Path(name)
    return to_yaml(describe(directory)), f"Here, without a card: {directory}"


def describe(directory: Path) -> dict[str, object]:
    """Return the fields of a card that the tables of a task directory contain.

    Raises:
        UserError: the directory cannot be read; the message names each file and field.
    """
    task = read_task(directory)
    sizes = {split: len(task.clips[split]) for split in task.splits}
    n_clips = sum(sizes.values())
    seconds = task.sample_duration
    return {
        "name": task.task_name,
        "directory": directory.resolve().name,
        "embedding_type": task.embedding_type,
        "prediction_type": task.prediction_type,
        "split_mode": task.split_mode,
        "folds": len(task.folds) if len(task.folds) > 1 else None,
        "clip_seconds": seconds,
        "clips": n_clips,
        "n_test": sum(sizes[fold.test] for fold in task.folds),
        "classes": len(task.labels),
        "hours": None if seconds is None else float(f"{n_clips * seconds / 3600:.4g}"),
        "metrics": task.evaluation,
        "split_clips": sizes,
    }


def _whereabouts(name: str, each: Card, tasks_dir: Path) -> str:
    """Return a text with the location of a card's task, or with the commands that get it."""
    place = directory_of(name, tasks_dir)
    if place is None or place.resolve().name != each.directory:
        place = place_of(each, tasks_dir)
    if place is not None:
        return f"Here: {place}"
    where = [] if is_built_in(each) else [f"Not in {tasks_dir}."]
    return "\n".join([*where, *ways_to_get([each], tasks_dir)])
