"""The files of a HEAR task directory, read with every fault of their form reported.

Layout and keys are those of the HEAR benchmark's task format (what hear-preprocess leaves and the
published archives unpack to)::

    {task_name}-{version}-{mode}/
        task_metadata.json
        labelvocabulary.csv          columns idx,label
        {split}.json                 {clip: [label, ...]} or {clip: [{label, start, end}, ...]}
        groups.csv                   columns clip,group (optional; not of HEAR's format)
        {sample_rate}/{split}/{clip}

Nothing guesses a label's type: a vocabulary row ``01`` or ``None`` is the text ``01`` or ``None``,
and a number in a split file is compared by its text.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from harness.core.counts import plural
from harness.core.errors import did_you_mean
from harness.core.hashing import content_sha256
from harness.metrics.event_metric import Event
from tasks.format.groups import GROUPS, derive_groups, parse_groups

METADATA = "task_metadata.json"
_RECORDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".opus")
VOCABULARY = "labelvocabulary.csv"
POSTPROCESSING_KEYS = ("median_filter_ms", "min_duration", "threshold")

_UNSAFE_NAME = re.compile(r"[\\\0]|(^|/)\.{0,2}(/|$)")  # an empty, "." or ".." part

Report = Callable[[str, str], None]
"""Called with (file relative to the task directory, reason) for each thing that is wrong."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A file of a split: ``labels`` in scene tasks, ``events`` in event tasks.

    ``group`` is the clip's group (:mod:`tasks.format.groups`), "" in a task without groups.
    """

    name: str
    labels: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    group: str = ""


@dataclass
class Contents:
    """What could be read of a task directory; parts in disorder were reported and are missing."""

    metadata: dict[str, object] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    """Those fields of :class:`Task` that come from the metadata and are in order."""
    labels: tuple[str, ...] = ()
    clips: dict[str, tuple[Clip, ...]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    ungrouped: str = ""
    """The first clip whose name does not match the pattern of groups; no clip then has a group."""


def _recordings(directory: Path) -> str:
    """Say how a folder of recordings becomes a task; empty for a folder without any."""
    count = sum(path.suffix.lower() in _RECORDINGS for path in directory.rglob("*"))
    if not count:
        return ""
    return (
        f" It holds {plural(count, 'recording')}: `hear-byola tasks make LABELS.csv {directory} "
        "--name NAME` makes a task of them and a table of their labels."
    )


def read_contents(directory: Path, report: Report, group_pattern: str = "") -> Contents:
    """Read all that can be read, reporting everything that is wrong with its form.

    ``group_pattern`` derives groups from clips' names (:func:`tasks.format.groups.derive_groups`)
    where there is no ``groups.csv``; "" for none.
    """
    contents = Contents()
    if not directory.is_dir():
        siblings = [p.name for p in directory.parent.glob("*") if p.is_dir()]
        report("", f"there is no such folder.{did_you_mean(directory.name, siblings)}")
        return contents
    if not (directory / METADATA).is_file():
        inside = sorted(path.parent.name for path in directory.glob(f"*/{METADATA}"))
        hint = f" The folder '{inside[0]}' inside it has one." if inside else _recordings(directory)
        report(METADATA, f"the file is missing, so this is no task directory.{hint}")
        return contents
    metadata = _load_json(directory, METADATA, report, contents.digests)
    if metadata is not None:
        contents.metadata = metadata
        contents.fields = _metadata_fields(metadata, report)
    contents.labels = _read_vocabulary(directory, report, contents.digests)
    event = contents.fields.get("embedding_type") == "event"
    for split in contents.fields.get("splits", ()):
        table = _load_json(directory, f"{split}.json", report, contents.digests)
        if table is not None and "embedding_type" in contents.fields:
            contents.clips[split] = _read_clips(f"{split}.json", table, event, report)
    # Clips of a split that could not be read would seem unknown.
    if contents.clips and contents.clips.keys() == set(contents.fields["splits"]):
        _set_groups(directory, contents, report, group_pattern)
    return contents


def _set_groups(directory: Path, contents: Contents, report: Report, pattern: str) -> None:
    names = [clip.name for clips in contents.clips.values() for clip in clips]
    groups: dict[str, str] = {}
    if (directory / GROUPS).exists():
        text = _load_bytes(directory, GROUPS, report, contents.digests)
        if text is not None:
            groups = parse_groups(text, names, lambda reason: report(GROUPS, reason))
    elif pattern:
        groups, contents.ungrouped = derive_groups(pattern, names)
    if groups:
        contents.clips = {
            split: tuple(
                Clip(clip.name, clip.labels, clip.events, groups[clip.name]) for clip in found
            )
            for split, found in contents.clips.items()
        }


def _load_bytes(directory: Path, name: str, report: Report, digests: dict[str, str]) -> str | None:
    try:
        content = (directory / name).read_bytes()
        digests[name] = content_sha256(content)
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        report(name, "the file is missing.")
    except OSError as error:
        report(name, f"the file cannot be read ({error.strerror}).")
    except UnicodeDecodeError as error:
        report(name, f"the file is not UTF-8 text (byte {error.start}).")
    return None


def _load_json(
    directory: Path, name: str, report: Report, digests: dict[str, str]
) -> dict[str, object] | None:
    """The object a JSON file holds; a key that stands twice is reported, as parsers drop one."""
    text = _load_bytes(directory, name, report, digests)
    if text is None:
        return None
    twice: list[str] = []

    def pairs_to_dict(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return found

    try:
        content = json.loads(text, object_pairs_hook=pairs_to_dict)
    except json.JSONDecodeError as error:
        report(name, f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}.")
        return None
    except (ValueError, RecursionError) as error:  # an endless number, brackets without end
        report(name, f"not a task's JSON: {error}.")
        return None
    for key in twice:
        report(name, f"the key '{key}' stands there twice.")
    if not isinstance(content, dict):
        report(name, f"must hold a JSON object, not {_kind(content)}.")
        return None
    return content


def _read_vocabulary(directory: Path, report: Report, digests: dict[str, str]) -> tuple[str, ...]:
    text = _load_bytes(directory, VOCABULARY, report, digests)
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
            report(VOCABULARY, f"line {line}: idx {idx} stands there twice.")
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


def _read_clips(
    file: str, table: Mapping[str, object], event: bool, report: Report
) -> tuple[Clip, ...]:
    clips = []
    for name, value in table.items():
        try:
            check_clip_name(name)
            if not isinstance(value, list):
                what = "events" if event else "labels"
                raise ValueError(f"its {what} must be a list, not {_kind(value)}.")
            if event:
                clips.append(Clip(name, events=tuple(map(parse_event, value))))
            else:
                clips.append(Clip(name, labels=tuple(map(_label, value))))
        except ValueError as error:
            report(file, f"clip '{name}': {error}")
    return tuple(clips)


def check_clip_name(name: str) -> None:
    """Refuse a name that leads out of its split's folder.

    Raises:
        ValueError: a sentence that says what it must be.
    """
    if _UNSAFE_NAME.search(name):
        raise ValueError("the name must be a plain file name that stays inside the split's folder.")


def _label(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"a label must be text or a number, not {_kind(value)}.")
    return str(value)


def parse_event(value: object) -> Event:
    """Read an event as JSON files hold it.

    Raises:
        ValueError: a sentence that says what is wrong with it.
    """
    if not isinstance(value, dict):
        raise ValueError(f"an event must be an object, not {_kind(value)}.")
    lacking = [key for key in ("label", "start", "end") if key not in value]
    if lacking:
        raise ValueError(f"an event lacks {' and '.join(lacking)}.")
    for key in ("start", "end"):
        if not _is_number(value[key]):
            raise ValueError(
                f"an event's {key} must be a number of milliseconds, not {value[key]!r}."
            )
    return Event(_label(value["label"]), float(value["start"]), float(value["end"]))


# The metadata's fields -----------------------------------------------------------------------


def _metadata_fields(metadata: Mapping[str, object], report: Report) -> dict[str, Any]:
    """The fields of :class:`Task` found in order; each other one is reported."""
    fields: dict[str, Any] = {}
    for key, parse in _REQUIRED.items():
        if key not in metadata:
            others = [other for other in metadata if other not in _REQUIRED]
            report(METADATA, f"the key '{key}' is missing.{did_you_mean(key, others)}")
            continue
        try:
            fields[key] = parse(metadata[key])
        except ValueError as error:
            report(METADATA, f"{key} {error}")
    scoring = metadata.get("use_scoring_for_early_stopping", True)
    if isinstance(scoring, bool):
        fields["use_scoring_for_early_stopping"] = scoring
    else:
        report(METADATA, f"use_scoring_for_early_stopping must be true or false, not {scoring!r}.")
    try:
        fields |= _evaluation_params(metadata.get("evaluation_params"))
    except ValueError as error:
        report(METADATA, f"evaluation_params{error}")
    if "splits" in fields and "split_mode" in fields:
        _check_splits(fields["split_mode"], fields["splits"], metadata.get("nfolds"), report)
    if (fields.get("embedding_type"), fields.get("prediction_type")) == ("event", "multiclass"):
        report(METADATA, "an event task must have prediction_type 'multilabel'.")
    return fields


def _check_splits(mode: str, splits: Sequence[str], nfolds: object, report: Report) -> None:
    if mode == "trainvaltest":
        if sorted(splits) != ["test", "train", "valid"]:
            report(METADATA, f"splits must be train, valid and test, not {', '.join(splits)}.")
        return
    if len(splits) < 3:
        report(
            METADATA,
            f"splits has {plural(len(splits), 'fold')}; one tests and one validates, so 3 are "
            "needed.",
        )
    if nfolds is not None and nfolds != len(splits):
        report(METADATA, f"nfolds is {nfolds!r}, but splits names {plural(len(splits), 'fold')}.")


def _evaluation_params(value: object) -> dict[str, Any]:
    grids: dict[str, dict[str, tuple[Any, ...]]] = {}
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ValueError(f" must be an object, not {_kind(value)}.")
    for name in ("event_postprocessing_grid", "task_specific_param_grid"):
        grid = value.get(name)
        if grid is None:
            continue
        if not isinstance(grid, dict):
            raise ValueError(f".{name} must be an object, not {_kind(grid)}.")
        for key, values in grid.items():
            if not isinstance(values, list) or not values:
                raise ValueError(f".{name}.{key} must be a list of values, not {values!r}.")
        grids[name] = {key: tuple(values) for key, values in grid.items()}
    for key, values in grids.get("event_postprocessing_grid", {}).items():
        if key not in POSTPROCESSING_KEYS:
            near = did_you_mean(key, POSTPROCESSING_KEYS)
            raise ValueError(f".event_postprocessing_grid has the unknown key '{key}'.{near}")
        if not all(_is_number(number) and number >= 0 for number in values):
            raise ValueError(f".event_postprocessing_grid.{key} must hold numbers, 0 or more.")
    return {
        "event_postprocessing_grid": grids.get("event_postprocessing_grid"),
        "task_specific_param_grid": grids.get("task_specific_param_grid", {}),
    }


def plain_name(value: object) -> str:
    """A name that is safe as part of a folder's name, for results are stored under it.

    Raises:
        ValueError: what it must be, to be put behind the name of what it is.
    """
    text = str(value) if _is_number(value) else value
    if not isinstance(text, str) or not text or re.search(r"[/\\\0]", text) or text in (".", ".."):
        raise ValueError(f"must be a plain name without slashes, not {value!r}.")
    return text


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a list of names, not {value!r}.")
    names = tuple(map(plain_name, value))
    if len(set(names)) < len(names):
        raise ValueError(f"names one twice: {', '.join(names)}.")
    return names


def _one_of(*allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in allowed:
            near = did_you_mean(str(value), allowed)
            raise ValueError(f"must be {' or '.join(map(repr, allowed))}, not {value!r}.{near}")
        return str(value)

    return parse


def _duration(value: object) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or value <= 0:
        raise ValueError(f"must be a number of seconds above 0, or null, not {value!r}.")
    return float(value)


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


_REQUIRED: dict[str, Callable[[object], Any]] = {
    "task_name": plain_name,
    "version": plain_name,
    "mode": plain_name,
    "embedding_type": _one_of("scene", "event"),
    "prediction_type": _one_of("multiclass", "multilabel"),
    "split_mode": _one_of("trainvaltest", "new_split_kfold", "presplit_kfold"),
    "splits": _names,
    "sample_duration": _duration,
    "evaluation": _names,
}
