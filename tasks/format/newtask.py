"""Describe a task to be written, check it for contradictions and make its tables."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, SkipValidation

from harness.core.errors import did_you_mean
from tasks.format.files import METADATA, VOCABULARY
from tasks.format.groups import GROUPS, groups_table
from tasks.format.spec import (
    LONGEST_NAME,
    EmbeddingType,
    PredictionType,
    TaskSpec,
    is_too_long,
)
from tasks.format.tables import Event, labels_of


@dataclass(frozen=True)
class NewClip:
    """A clip to be written.

    Attributes:
        name: name of its file in the task. It ends in ``.wav`` and is unique in the task, also on
            a file system that ignores case.
        split: one of the splits of the task.
        source: any object that ``read`` accepts, for example a path, a path with a time range, or
            a seed. It must be picklable. Its ``repr`` must be unique and the same in every process.
        labels: labels of the clip in a scene task.
        events: events of the clip in an event task, with times in ms.
        group: its group (:mod:`tasks.format.groups`); "" in a task without groups.
    """

    name: str
    split: str
    source: object
    labels: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    group: str = ""


class NewTask(TaskSpec):
    """A task to be written. Every clip is cut or zero-padded at its end to ``sample_duration``.

    Attributes:
        clips: clips of all splits.
        extra: additional keys of the metadata, for example the origin of the sounds.
    """

    clips: SkipValidation[tuple[NewClip, ...]]
    extra: SkipValidation[Mapping[str, object]] = Field(default={})


def contradictions(task: NewTask, rates: Sequence[int]) -> Iterator[str]:
    """Yield a sentence for each contradiction in a task and its sample rates in Hz."""
    if not rates or len(set(rates)) < len(rates) or min(rates) < 1:
        yield f"the sample rates must be whole numbers of Hz, each once, not {list(rates)}."
    seconds = task.sample_duration
    if seconds is not None and round(seconds * min(rates, default=1)) < 1:
        yield f"clips of {seconds:g} s contain no sample."
    if twice := [name for name, count in Counter(task.labels).items() if count > 1 or not name]:
        yield f"the label '{twice[0]}' is empty or occurs twice."
    for split in set(task.splits) - {clip.split for clip in task.clips}:
        yield f"the split '{split}' has no clip."
    if (ungrouped := [clip.name for clip in task.clips if not clip.group]) and _grouped(task):
        yield f"clip '{ungrouped[0]}' has no group, but others have one."
    labels, seen = set(task.labels), dict[str, str]()
    for clip in task.clips:
        if reason := _problem(task, clip, labels):
            yield f"clip '{clip.name}': {reason}"
        folded = clip.name.casefold()
        if folded in seen:
            yield f"clip '{clip.name}': another clip is called '{seen[folded]}'."
        seen[folded] = clip.name


def _problem(task: NewTask, clip: NewClip, labels: Collection[str]) -> str:
    if not clip.name.endswith(".wav") or clip.name.startswith(".") or "/" in clip.name:
        return "its name must be a plain file name that ends in .wav."
    if is_too_long(clip.name):
        return f"its name is longer than {LONGEST_NAME} bytes."
    if clip.split not in task.splits:
        return f"there is no split '{clip.split}'.{did_you_mean(clip.split, task.splits)}"
    event = task.embedding_type == EmbeddingType.EVENT
    if clip.labels if event else clip.events:
        has, needs = ("labels", "events") if event else ("events", "labels")
        return f"it has {has}, but clips of this task have {needs}."
    if not event and task.prediction_type == PredictionType.MULTICLASS and len(clip.labels) != 1:
        return f"it has {len(clip.labels)} labels; a multiclass task needs exactly one."
    for label in labels_of(clip):
        if label not in labels:
            return f"the vocabulary lacks its label '{label}'."
    return ""


def tables(task: NewTask) -> dict[str, str]:
    """Return the content of each file except audio by its name; with groups if there are any."""
    contents = {}
    for split in task.splits:
        truths = {clip.name: _truth(task, clip) for clip in task.clips if clip.split == split}
        contents[f"{split}.json"] = _json(truths)
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["idx", "label"])
    writer.writerows(enumerate(task.labels))
    contents[VOCABULARY] = rows.getvalue()
    contents[METADATA] = _json(task.to_json() | dict(task.extra))
    if _grouped(task):
        contents[GROUPS] = groups_table({clip.name: clip.group for clip in task.clips})
    return contents


def _grouped(task: NewTask) -> bool:
    return any(clip.group for clip in task.clips)


def _truth(task: NewTask, clip: NewClip) -> list[object]:
    if task.embedding_type == EmbeddingType.SCENE:
        return list(clip.labels)
    return [{"label": one.label, "start": one.start, "end": one.end} for one in clip.events]


def _json(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
