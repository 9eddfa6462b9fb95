"""Read the files of a HEAR task directory and report every format error.

The layout and the keys are those of the HEAR benchmark: hear-preprocess writes them, and the
published archives contain them::

    {task_name}-{version}-{mode}/
        task_metadata.json           (tasks.format.spec.TaskMetadata)
        labelvocabulary.csv          columns idx,label
        {split}.json                 {clip: [label, ...]} or {clip: [{label, start, end}, ...]}
        groups.csv                   columns clip,group (optional; not of HEAR's format)
        {sample_rate}/{split}/{clip}
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.core.counts import plural
from harness.core.errors import did_you_mean
from hear_byola.core.schema import read_fields
from tasks.format.files import METADATA, Report, TaskFiles
from tasks.format.groups import GROUPS, derive_groups, parse_groups
from tasks.format.spec import EmbeddingType, TaskMetadata, disagreements
from tasks.format.tables import Clip, read_clips, read_vocabulary

_RECORDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".opus")
_MOST_TABLES = 256  # that are kept in memory


@dataclass
class Contents:
    """The readable parts of a task directory; unreadable parts were reported and are missing."""

    metadata: Mapping[str, object] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The readable fields of :class:`tasks.format.spec.TaskMetadata`."""
    labels: tuple[str, ...] = ()
    clips: dict[str, tuple[Clip, ...]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    ungrouped: str = ""
    """The first clip whose name does not match the group pattern; then no clip has a group."""


def _recordings(directory: Path) -> str:
    """Return a hint on how to make a task of a folder of recordings; "" if it has none."""
    count = sum(path.suffix.lower() in _RECORDINGS for path in directory.rglob("*"))
    if not count:
        return ""
    return (
        f" It contains {plural(count, 'recording')}: `hear-byola tasks make LABELS.csv {directory} "
        "--name NAME` makes a task from them and a table of their labels."
    )


def read_contents(directory: Path, report: Report, group_pattern: str = "") -> Contents:
    """Read all readable files of a task directory and report every format error.

    If there is no ``groups.csv``, ``group_pattern`` derives the groups from the names of the clips
    (:func:`tasks.format.groups.derive_groups`); "" for no groups.
    """
    if directory.is_file():
        report("", "this is a file. Give a task directory, which contains task_metadata.json.")
        return Contents()
    if not directory.is_dir():
        siblings = [p.name for p in directory.parent.glob("*") if p.is_dir()]
        report("", f"there is no such folder.{did_you_mean(directory.name, siblings)}")
        return Contents()
    if not (directory / METADATA).is_file():
        inside = sorted(path.parent.name for path in directory.glob(f"*/{METADATA}"))
        hint = f" The folder '{inside[0]}' inside it has one." if inside else _recordings(directory)
        report(METADATA, f"the file is missing, so this is not a task directory.{hint}")
        return Contents()
    files = TaskFiles(directory, report)
    contents = Contents(digests=files.digests)
    metadata = files.json(METADATA)
    if metadata is not None:
        contents.metadata = metadata
        contents.fields = _metadata_fields(metadata, report)
    contents.labels = read_vocabulary(files)
    kind = contents.fields.get("embedding_type")
    for split in contents.fields.get("splits", ()):
        if (found := _clips(files, f"{split}.json", kind)) is not None:
            contents.clips[split] = found
    # Groups are checked against the clips of all splits: without one, its clips seem unknown.
    if contents.clips and contents.clips.keys() == set(contents.fields["splits"]):
        _set_groups(files, contents, group_pattern)
    return contents


_read: dict[tuple[str, str, EmbeddingType | None], tuple[Clip, ...]] = {}
"""The latest tables without faults, by file name, digest and kind. A plan reads each four times."""


def _clips(files: TaskFiles, file: str, kind: EmbeddingType | None) -> tuple[Clip, ...] | None:
    """Return the clips of a split file; None if it cannot be read or their kind is unknown."""
    text = files.text(file)
    if text is None:
        return None
    key = (file, files.digests[file], kind)
    if key not in _read:
        faults: list[str] = []
        kept = replace(files, report=lambda _, reason: faults.append(reason))
        with _without_collections():
            table, found = kept.parse(file, text), None
            if table is not None and kind is not None:
                found = read_clips(file, table, kind == EmbeddingType.EVENT, kept.report)
        for fault in faults:
            files.report(file, fault)
        if faults or found is None:
            return found
        while len(_read) >= _MOST_TABLES:
            _read.pop(next(iter(_read)), None)
        _read[key] = found
    return _read[key]


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Pause garbage collection: a table has no cycles, and its many objects start a scan often.

    The scans take as long as reading the table.
    """
    enabled = gc.isenabled()
    if enabled:  # a thread that finds it paused could pause it again after the other has ended
        gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _metadata_fields(metadata: Mapping[str, object], report: Report) -> dict[str, Any]:
    fields, faults = read_fields(TaskMetadata, metadata)
    for fault in (*faults, *disagreements(fields, metadata.get("nfolds"))):
        report(METADATA, fault)
    return fields


def _set_groups(files: TaskFiles, contents: Contents, pattern: str) -> None:
    names = [clip.name for clips in contents.clips.values() for clip in clips]
    groups: dict[str, str] = {}
    if (files.directory / GROUPS).exists():
        text = files.text(GROUPS)
        if text is not None:
            groups = parse_groups(text, names, lambda reason: files.report(GROUPS, reason))
    elif pattern:
        groups, contents.ungrouped = derive_groups(pattern, names)
    if groups:
        contents.clips = {
            split: tuple(
                Clip(clip.name, clip.labels, clip.events, groups[clip.name]) for clip in found
            )
            for split, found in contents.clips.items()
        }
