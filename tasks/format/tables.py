"""Read the vocabulary and the split files of a task directory.

Labels are text: a vocabulary row ``01`` or ``None`` is the label ``01`` or ``None``, and a number
in a split file is compared by its text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.metrics.event_metric import Event
from tasks.format.files import VOCABULARY, Report, TaskFiles, json_kind
from tasks.format.spec import is_number

# An empty, "." or ".." part; surrogates that no name of a file gives, whatever its bytes.
_UNSAFE_NAME = re.compile(r"[\\\0\ud800-\udc7f\udd00-\udfff]|(^|/)\.{0,2}(/|$)")


@dataclass(frozen=True, slots=True)
class Clip:
    """A file of a split: ``labels`` in scene tasks, ``events`` in event tasks.

    ``group`` is the clip's group (:mod:`tasks.format.groups`), "" in a task without groups.
    """

    name: str
    labels: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    group: str = ""


class _HasLabels(Protocol):
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def events(self) -> tuple[Event, ...]: ...


def labels_of(clip: _HasLabels) -> tuple[str, ...]:
    """Return the labels of a clip or recording, or the label of each of its events."""
    if not clip.events:
        return clip.labels
    return (*clip.labels, *(event.label for event in clip.events))


def read_vocabulary(files: TaskFiles) -> tuple[str, ...]:
    """Return the labels of a task in the order of ``idx``; () if its table cannot be read."""
    text, report = files.text(VOCABULARY), files.report
    if text is None:
        return ()
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = reader.fieldnames or ()
        rows = [(reader.line_num, row.get("idx") or "", row.get("label") or "") for row in reader]
    except csv.Error as error:
        report(VOCABULARY, f"line {reader.line_num}: {error}.")
        return ()
    missing = [column for column in ("idx", "label") if column not in columns]
    if missing:
        report(VOCABULARY, f"needs the columns idx,label; lacks {' and '.join(missing)}.")
        return ()
    by_index: dict[int, str] = {}
    seen: dict[str, int] = {}
    for line, idx, label in rows:
        if not label or not re.fullmatch(r"[0-9]{1,9}", idx):
            report(VOCABULARY, f"line {line}: needs a whole number and a label.")
            continue
        if int(idx) in by_index:
            report(VOCABULARY, f"line {line}: idx {idx} occurs twice.")
        if label in seen:
            report(VOCABULARY, f"line {line}: the label '{label}' is on line {seen[label]} too.")
        by_index[int(idx)] = label
        seen.setdefault(label, line)
    if not by_index:
        report(VOCABULARY, "lists no label.")
    gaps = sorted(set(range(len(by_index))) - set(by_index))
    if gaps:
        report(VOCABULARY, f"idx must count 0 to {len(by_index) - 1}; {gaps[0]} is missing.")
    return tuple(label for _, label in sorted(by_index.items()))


def read_clips(
    file: str, table: Mapping[str, object], event: bool, report: Report
) -> tuple[Clip, ...]:
    """Return the clips of a split file; invalid clips are reported and left out.

    Args:
        file: name of the split file, for messages.
        table: its content.
        event: True if clips have events, False if they have labels.
        report: called for each fault.
    """
    clips = []
    for name, value in table.items():
        try:
            check_clip_name(name)
            if not isinstance(value, list):
                what = "events" if event else "labels"
                raise ValueError(f"its {what} must be a list, not {json_kind(value)}.")
            if event:
                clips.append(Clip(name, events=tuple(map(parse_event, value))))
            else:
                clips.append(Clip(name, labels=tuple(map(_label, value))))
        except ValueError as error:
            report(file, f"clip '{name}': {error}")
    return tuple(clips)


def check_clip_name(name: str) -> None:
    """Check that a clip's name does not lead out of its split's folder.

    Raises:
        ValueError: it does; the message is a sentence with the rule.
    """
    if _UNSAFE_NAME.search(name):
        raise ValueError("the name must be a plain file name that stays inside the split's folder.")


def _label(value: object) -> str:
    if type(value) is str:  # nearly always: tables of millions of labels are read quickly
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"a label must be text or a number, not {json_kind(value)}.")
    return str(value)


def parse_event(value: object) -> Event:
    """Return the event that a JSON value describes.

    Raises:
        ValueError: the value is not an event; the message is a sentence with the fault.
    """
    if not isinstance(value, dict):
        raise ValueError(f"an event must be an object, not {json_kind(value)}.")
    lacking = [key for key in ("label", "start", "end") if key not in value]
    if lacking:
        raise ValueError(f"an event lacks {' and '.join(lacking)}.")
    for key in ("start", "end"):
        if not is_number(value[key]):
            raise ValueError(
                f"an event's {key} must be a number of milliseconds, not {value[key]!r}."
            )
    return Event(_label(value["label"]), float(value["start"]), float(value["end"]))
