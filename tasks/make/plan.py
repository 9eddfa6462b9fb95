"""From a table of labels and a folder of recordings to a task that can be written, and its card."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.layout import Event
from tasks.card import Card
from tasks.make.faults import Faults
from tasks.make.labels import Labelled, Labels, read_labels
from tasks.make.parts import Parts, find_parts, labels_of
from tasks.make.recordings import Header, look_into
from tasks.make.summary import card_of, describe
from tasks.make.wishes import Wishes
from tasks.newtask import NewClip, NewTask

MODE = "full"

RATES = (16000, 22050, 32000, 44100, 48000)
"""Sample rates that HEAR's common API allows, in Hz."""

_LONGEST_NAME = 120  # bytes; longer file names are shortened


@dataclass(frozen=True)
class Plan:
    """A task to be written at some sample rates, its card, and a few lines on it for people."""

    task: NewTask
    rates: tuple[int, ...]
    card: Card
    description: str


def plan_task(table: Path, folder: Path, wishes: Wishes, say: Callable[[str], None]) -> Plan:
    """Read the table and the recordings' headers, and plan the task.

    Args:
        table: of labels (:func:`tasks.make.labels.read_labels`).
        folder: that its files are in.
        wishes: what the task should be.
        say: told what is odd, and what was left out.

    Raises:
        UserError: naming what is wrong with the wishes, the table or the recordings, all of one
            kind at once.
    """
    wishes.check()
    labels = read_labels(table)
    if labels.unused:
        say(f"{table}: not used are the columns {', '.join(labels.unused)}")
    faults = Faults(table)
    headers = look_into(folder, labels.recordings, wishes.seconds, faults)
    faults.refuse()
    recordings = [_cut(one, wishes.seconds) for one in labels.recordings]
    _tell_dropped(labels.recordings, recordings, wishes.seconds, say)
    prediction_type = _prediction_type(labels, recordings, wishes.prediction_type)
    parts = find_parts(labels, recordings, wishes.folds, wishes.seed)
    task = NewTask(
        task_name=wishes.name,
        version=wishes.version,
        mode=MODE,
        embedding_type=labels.embedding_type,
        prediction_type=prediction_type,
        split_mode=parts.split_mode,
        splits=parts.splits,
        evaluation=wishes.metrics_of(labels.embedding_type, prediction_type),
        clip_seconds=wishes.seconds,
        vocabulary=_vocabulary(labels, recordings),
        clips=_clips(recordings, headers, parts),
        extra={
            "made_from": {
                "table": table.name,
                "sha256": labels.sha256,
                "splits": parts.note,
                "by": "hear-byola tasks make",
            }
        },
    )
    lengths = [wishes.seconds or header.seconds for header in headers.values()]
    card = card_of(task, wishes, lengths)
    return Plan(task, _rates(wishes.rates, headers), card, describe(task, card, parts.note))


def _cut(one: Labelled, seconds: float | None) -> Labelled:
    """Leave of the events what is heard when the recording is cut."""
    if seconds is None:
        return one
    end = seconds * 1000
    kept = [
        (Event(event.label, event.start, min(event.end, end)), line)
        for event, line in zip(one.events, one.event_lines, strict=True)
        if event.start < end
    ]
    return dataclasses.replace(
        one,
        events=tuple(event for event, _ in kept),
        event_lines=tuple(line for _, line in kept),
    )


def _tell_dropped(
    before: Sequence[Labelled],
    after: Sequence[Labelled],
    seconds: float | None,
    say: Callable[[str], None],
) -> None:
    dropped = sum(len(one.events) for one in before) - sum(len(one.events) for one in after)
    if dropped:
        say(f"{dropped} events start after {seconds:g} s, where clips are cut, and are left out")


def _prediction_type(labels: Labels, recordings: Sequence[Labelled], wanted: str | None) -> str:
    if labels.embedding_type == "event":
        if wanted == "multiclass":
            raise UserError(f"{labels.path} lists events, and event tasks are multilabel.")
        return "multilabel"
    several = next((one for one in recordings if len(one.labels) > 1), None)
    if wanted == "multiclass" and several:
        raise UserError(
            f"{labels.path}, line {several.line}: '{several.file}' has {len(several.labels)} "
            f"labels, {', '.join(several.labels)}; a multiclass task needs exactly one."
        )
    return wanted or ("multilabel" if several else "multiclass")


def _vocabulary(labels: Labels, recordings: Sequence[Labelled]) -> tuple[str, ...]:
    """The labels in alphabetical order, or by value where all are whole numbers."""
    found = {label for one in recordings for label in labels_of(one)}
    least = 1 if labels.embedding_type == "event" else 2
    if len(found) < least:
        raise UserError(
            f"{labels.path} has {len(found)} different labels; there is nothing to tell apart."
        )
    if all(re.fullmatch("-?[0-9]+", label) for label in found):
        return tuple(sorted(found, key=lambda label: (int(label), label)))
    return tuple(sorted(found))


def _clips(
    recordings: Sequence[Labelled], headers: Mapping[str, Header], parts: Parts
) -> tuple[NewClip, ...]:
    names = clip_names([one.file for one in recordings])
    return tuple(
        NewClip(
            name=names[one.file],
            split=parts.split_of[one.file],
            source=headers[one.file].recording,
            labels=tuple(sorted(one.labels)),
            events=tuple(sorted(one.events, key=lambda event: (event.start, event.end))),
        )
        for one in recordings
    )


def clip_names(files: Sequence[str]) -> dict[str, str]:
    """Name the clip of each file: its path with ``_`` for slashes, and the ending ``.wav``.

    Where two would be the same, or one is long, the path's hash tells them apart.
    """
    plain = {}
    for file in files:
        stem = os.path.splitext(file)[0].replace("/", "_").lstrip(".")
        short = os.fsencode(stem)[:_LONGEST_NAME].decode("utf-8", "ignore")
        plain[file] = (short or "clip", short != stem)
    times = Counter(stem.casefold() for stem, _ in plain.values())
    return {
        file: f"{stem}-{hashlib.sha256(file.encode()).hexdigest()[:8]}.wav"
        if changed or times[stem.casefold()] > 1
        else f"{stem}.wav"
        for file, (stem, changed) in plain.items()
    }


def _rates(wanted: tuple[int, ...], headers: Mapping[str, Header]) -> tuple[int, ...]:
    """Return the rates asked for, else the lowest of HEAR's that keeps all that was recorded."""
    highest = max(header.rate for header in headers.values())
    return wanted or (next((rate for rate in RATES if rate >= highest), RATES[-1]),)
