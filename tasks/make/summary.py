"""Describe a planned task by a card and by a few lines of text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from harness.core.counts import plural
from tasks.cards.card import OWN, Card
from tasks.cards.cardfile import read_card, write_card
from tasks.format.newtask import NewTask
from tasks.format.tables import labels_of
from tasks.make.recordings import Header
from tasks.make.wishes import Wishes


def card_of(task: NewTask, wishes: Wishes, seconds: Iterable[float]) -> Card:
    """Return a task's card.

    Args:
        task: the planned task.
        wishes: the user's options.
        seconds: length of each clip in seconds.
    """
    sizes = Counter(clip.split for clip in task.clips)
    folds = len(task.splits) if task.has_folds else None
    card = Card(
        name=task.task_name,
        title=wishes.title or task.task_name,
        board_name=None,
        suite=OWN,
        directory=task.name,
        domain=wishes.domain or "other",
        embedding_type=task.embedding_type,
        prediction_type=task.prediction_type,
        split_mode=task.split_mode,
        folds=folds,
        clip_seconds=task.sample_duration,
        clips=len(task.clips),
        n_test=sizes["test"] if folds is None else len(task.clips),
        classes=len(task.labels),
        hours=float(f"{math.fsum(seconds) / 3600:.4g}"),
        metrics=task.evaluation,
        published=None,
        sources=(),
        licence=wishes.licence,
        citation=None,
        oddities=(),
        published_scores=None,
        facts_from=("The table and the recordings that the task was made from.",),
        split_clips={split: sizes[split] for split in task.splits},
    )
    return read_card(write_card(card), card.name)  # raises if the written card is invalid


def _duration(hours: float) -> str:
    """Return hours in a unit that makes at least one of it."""
    for unit, per_hour in (("h", 1), ("min", 60)):
        if hours * per_hour >= 1:
            return f"{hours * per_hour:.3g} {unit}"
    return f"{hours * 3600:.3g} s"


def describe(task: NewTask, card: Card, note: str) -> str:
    """Return lines on a task's kind and splits; ``note`` is a phrase on how splits were made."""
    sizes = Counter(clip.split for clip in task.clips)
    having = Counter((clip.split, label) for clip in task.clips for label in set(labels_of(clip)))
    labels = plural(len(task.labels), "label")
    lines = [
        f"{task.task_name}: {task.embedding_type}, {task.prediction_type}; "
        f"{plural(len(task.clips), 'clip')}, {labels}, {_duration(card.hours or 0.0)}; "
        f"scored by {', '.join(task.evaluation)}",
        f"splits {note}:",
    ]
    for split in task.splits:
        numbers = [having[split, label] for label in task.labels]
        clips = plural(sizes[split], "clip")
        groups = {clip.group for clip in task.clips if clip.split == split and clip.group}
        of_groups = f" of {plural(len(groups), 'group')}" if groups else ""
        lines.append(f"  {split}: {clips}{of_groups}, {_range(numbers)} of each label")
    return "\n".join(lines)


def describe_sound(headers: Collection[Header], rates: Sequence[int]) -> str:
    """Return a line with the sample rates and lengths of recordings, and the task's rates."""
    own = sorted({header.rate for header in headers})
    lengths = [header.seconds for header in headers]
    return (
        f"recordings of {', '.join(map(str, own))} Hz, written at {', '.join(map(str, rates))} Hz; "
        f"the shortest lasts {min(lengths):.3g} s, the longest {max(lengths):.3g} s"
    )


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
