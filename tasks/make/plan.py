"""Plan a task and its card from a table of labels and a folder of recordings."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.hashing import content_sha256
from tasks.cards.card import Card
from tasks.format.newtask import NewClip, NewTask
from tasks.format.spec import EmbeddingType, PredictionType
from tasks.format.tables import Event, labels_of
from tasks.format.writer import LEFT_OUT
from tasks.make.faults import Faults
from tasks.make.labels import Labelled, Labels, read_labels
from tasks.make.notices import tell_columns, tell_cut, tell_dropped
from tasks.make.parts import Parts, find_parts
from tasks.make.recordings import Header, look_into
from tasks.make.summary import card_of, describe, describe_sound
from tasks.make.wishes import Wishes

MODE = "full"

RATES = (16000, 22050, 32000, 44100, 48000)
"""Sample rates that HEAR's common API allows, in Hz."""

_LONGEST_NAME = 120  # bytes; longer file names are shortened
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """A task to be written, its sample rates in Hz, its card and a description of a few lines.

    Attributes:
        files: the recording of each clip: its path as in the table.
        seconds: length of each clip in seconds.
    """

    task: NewTask
    rates: tuple[int, ...]
    card: Card
    description: str
    wishes: Wishes
    files: Mapping[str, str]
    seconds: Mapping[str, float]

    def without(self, files: Collection[str]) -> TaskPlan:
        """Return the plan without some recordings; the others keep their splits."""
        clips = tuple(clip for clip in self.task.clips if self.files[clip.name] not in files)
        if len(clips) == len(self.task.clips):
            return self
        found = {label for clip in clips for label in labels_of(clip)}
        left_out = sorted({*self.task.extra.get(LEFT_OUT, ()), *files})  # type: ignore[misc]
        task = self.task.model_copy(
            update={
                "clips": clips,
                "labels": tuple(label for label in self.task.labels if label in found),
                "extra": {**self.task.extra, LEFT_OUT: left_out},
            }
        )
        seconds = {clip.name: self.seconds[clip.name] for clip in clips}
        card = card_of(task, self.wishes, seconds.values())
        return dataclasses.replace(self, task=task, seconds=seconds, card=card)


def plan_task(table: Path, folder: Path, wishes: Wishes, say: Callable[[str], None]) -> TaskPlan:
    """Read the table and the headers of the recordings, and return the plan of the task.

    Args:
        table: table of labels (:func:`tasks.make.labels.read_labels`).
        folder: folder of the recordings.
        wishes: the options of the task.
        say: called with warnings and with what was left out.

    Raises:
        UserError: the options are invalid; rows of the table or recordings are invalid (one error
            lists all); or no task can be made from them.
    """
    wishes.check()
    faults = Faults(table)
    labels = read_labels(table, faults)
    tell_columns(labels, say)
    headers, bad = look_into(folder, labels.recordings, wishes.seconds, faults, say)
    for one, reason in bad:
        if wishes.skip_bad:
            say(f"left out: {reason}")
        else:
            faults.add(one.line, reason)
    faults.refuse()
    there = [one for one in labels.recordings if one.file in headers]
    tell_cut(headers, wishes.seconds, say)
    recordings = [_cut(one, wishes.seconds) for one in there]
    tell_dropped(there, recordings, wishes.seconds, say)
    prediction_type = _prediction_type(labels, recordings, wishes.prediction_type, say)
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
        sample_duration=wishes.seconds,
        labels=_vocabulary(labels, recordings),
        clips=_clips(recordings, headers, parts),
        extra={
            "made_from": {
                "table": table.name,
                "sha256": labels.sha256,
                "splits": parts.note,
                "by": "hear-byola tasks make",
            }
        }
        | ({LEFT_OUT: sorted(one.file for one, _ in bad)} if bad else {}),
    )
    seconds = {
        clip.name: wishes.seconds or headers[one.file].seconds
        for clip, one in zip(task.clips, recordings, strict=True)
    }
    card = card_of(task, wishes, seconds.values())
    rates = _rates(wishes.rates, headers)
    sound = describe_sound(headers.values(), rates)
    return TaskPlan(
        task=task,
        rates=rates,
        card=card,
        description=f"{describe(task, card, parts.note)}\n{sound}",
        wishes=wishes,
        files={clip.name: one.file for clip, one in zip(task.clips, recordings, strict=True)},
        seconds=seconds,
    )


def _cut(one: Labelled, seconds: float | None) -> Labelled:
    """Return a recording with its events cut at ``seconds``, without those that start later."""
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


def _prediction_type(
    labels: Labels,
    recordings: Sequence[Labelled],
    wanted: PredictionType | None,
    say: Callable[[str], None],
) -> PredictionType:
    if labels.embedding_type == EmbeddingType.EVENT:
        if wanted == PredictionType.MULTICLASS:
            raise UserError(f"{labels.path} lists events, but event tasks are always multilabel.")
        return PredictionType.MULTILABEL
    several = [one for one in recordings if len(one.labels) > 1]
    if wanted == PredictionType.MULTICLASS and several:
        first = several[0]
        raise UserError(
            f"{labels.path}, line {first.line}: '{first.file}' has {len(first.labels)} "
            f"labels, {', '.join(first.labels)}; a multiclass task needs exactly one."
        )
    if several and not wanted:
        say(
            f"multilabel, as {len(several)} of {plural(len(recordings), 'file')} "
            f"{'has' if len(several) == 1 else 'have'} several labels: "
            + "; ".join(map(_with_lines, several[:_SHOWN]))
            + "; ..." * (len(several) > _SHOWN)
        )
    return wanted or (PredictionType.MULTILABEL if several else PredictionType.MULTICLASS)


def _with_lines(one: Labelled) -> str:
    lines = sorted(set(one.lines))
    where = f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines))}"
    return f"'{one.file}' ({where}: {', '.join(one.labels)})"


def _vocabulary(labels: Labels, recordings: Sequence[Labelled]) -> tuple[str, ...]:
    """Return the labels in alphabetical order, or by value if all are whole numbers."""
    found = {label for one in recordings for label in labels_of(one)}
    least = 1 if labels.embedding_type == EmbeddingType.EVENT else 2
    if len(found) < least:
        raise UserError(
            f"{labels.path} has {plural(len(found), 'different label')}, but a task needs at "
            f"least {least}."
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
            group=one.group,
        )
        for one in recordings
    )


def clip_names(files: Sequence[str]) -> dict[str, str]:
    """Return the clip name of each file: its path with ``_`` for slashes, and the ending ``.wav``.

    If two names would be the same, or one is too long, a hash of the path is added.
    """
    plain = {}
    for file in files:
        stem = os.path.splitext(file)[0].replace("/", "_").lstrip(".")
        short = os.fsencode(stem)[:_LONGEST_NAME].decode("utf-8", "ignore")
        plain[file] = (short or "clip", short != stem)
    times = Counter(stem.casefold() for stem, _ in plain.values())
    return {
        file: f"{stem}-{content_sha256(file)[:8]}.wav"
        if changed or times[stem.casefold()] > 1
        else f"{stem}.wav"
        for file, (stem, changed) in plain.items()
    }


def _rates(wanted: tuple[int, ...], headers: Mapping[str, Header]) -> tuple[int, ...]:
    """Return the requested rates, else HEAR's lowest rate that is not below any recording's."""
    highest = max(header.rate for header in headers.values())
    return wanted or (next((rate for rate in RATES if rate >= highest), RATES[-1]),)
