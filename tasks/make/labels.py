"""Read the labels, events, splits and groups of recordings from a table."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import UserError, did_you_mean
from harness.core.spelling import composed
from tasks.format.spec import EmbeddingType
from tasks.format.tables import Event
from tasks.make.cells import BETWEEN_LABELS, SPLIT_CALLED, cell_faults, path_fault
from tasks.make.faults import Faults
from tasks.make.spellings import Spellings
from tasks.make.table import Table, read_table

LIKE_TIMES = {
    "onset": ("start", "begin", "t0", "tmin", "xmin", "from", "start_time", "begin_time"),
    "offset": ("end", "stop", "t1", "tmax", "xmax", "to", "end_time", "stop_time"),
}
"""Names that other tables give to the columns onset and offset."""

COLUMNS = ("file", "label", "onset", "offset", "split", "fold", "group")


@dataclass(frozen=True)
class Labelled:
    """A recording and its rows of the table.

    Attributes:
        file: path in the folder of recordings, with slashes.
        line: the first line that names it.
        lines: all lines that name it.
        labels: labels of a scene, in the table's order.
        events: events of an event task, in ms, in the table's order.
        event_lines: the line of each event.
        place: the given split or fold; "" if none is given.
        group: the given group; "" if none is given.
    """

    file: str
    line: int
    lines: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    event_lines: tuple[int, ...] = ()
    place: str = ""
    group: str = ""


@dataclass(frozen=True)
class Labels:
    """The content of a table of labels.

    Attributes:
        path: path of the table.
        sha256: SHA-256 of its content.
        embedding_type: ``event`` if it has the columns onset and offset, else ``scene``.
        places: the column that assigns recordings, ``split`` or ``fold``; "" if there is none.
        grouped: whether it has the column group.
        recordings: sorted by file.
        unused: columns that are not used.
        spellings: sentences on names that read the same.
    """

    path: Path
    sha256: str
    embedding_type: EmbeddingType
    places: str
    grouped: bool
    recordings: tuple[Labelled, ...]
    unused: tuple[str, ...]
    spellings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _LabelRow:
    line: int
    file: str
    labels: tuple[str, ...]
    event: Event | None
    place: str
    group: str


def read_labels(path: Path, faults: Faults) -> Labels:
    """Read a table with the columns file, label and, for events, onset and offset in seconds.

    Optional columns are group, and either split (train, valid, test) or fold. Labels, folds and
    groups are normalized to Unicode form NFC. Several labels of a recording are on separate rows,
    or in one cell separated by semicolons. A row with neither onset nor offset nor label is a
    recording without events.

    Args:
        path: the table.
        faults: collects the faults by line: paths that leave the folder, empty cells, invalid
            times, rows that repeat or contradict another row, and groups or folds that read the
            same but are spelt differently. A recording whose lines are all invalid gets no labels;
            its file is still looked for.

    Raises:
        UserError: columns are missing or exclude each other.
    """
    table = read_table(path, COLUMNS, faults)
    event = _check_columns(table)
    rows, wrong = [], dict[str, Labelled]()
    spellings = Spellings()
    for line, as_written in table.rows:
        cells = spellings.read(line, as_written)
        if row := _row(line, cells, event, faults):
            rows.append(row)
        elif not path_fault(cells["file"]):
            file = posixpath.normpath(cells["file"])
            wrong.setdefault(file, Labelled(file, line))
    recordings = _recordings(rows, faults)
    spellings.refuse(faults)
    recordings = list((wrong | {one.file: one for one in recordings}).values())
    return Labels(
        path=path,
        sha256=table.sha256,
        embedding_type=EmbeddingType.EVENT if event else EmbeddingType.SCENE,
        places=next((name for name in ("split", "fold") if name in table.columns), ""),
        grouped="group" in table.columns,
        recordings=tuple(sorted(recordings, key=lambda one: one.file)),
        unused=tuple(name for name in table.columns if name and name not in COLUMNS),
        spellings=tuple(spellings.notes()),
    )


def rename_times(columns: Collection[str]) -> str:
    """Return a hint on columns that may be event times, such as "rename start to onset", or ""."""
    unit = re.compile(r" ?[(\[].*|_(s|sec|seconds)$")
    plain = {unit.sub("", name).replace(" ", "_"): name for name in columns}
    found = [
        f"{plain[other]} to {name}"
        for name, others in LIKE_TIMES.items()
        for other in [next((each for each in others if each in plain), "")]
        if other and name not in columns
    ]
    return f"rename {' and '.join(found)}" if found else ""


def _check_columns(table: Table) -> bool:
    """Return whether the table is of events; raise UserError for incompatible columns."""
    there = set(table.columns)
    event = bool(there & {"onset", "offset"})
    needed = ("file", "onset", "offset", "label") if event else ("file", "label")
    for name in needed:
        if name not in there:
            others = [column for column in table.columns if column not in COLUMNS]
            near = did_you_mean(name, others)
            if name in LIKE_TIMES and (times := rename_times(table.columns)):
                near = f" Perhaps {times}: times are seconds from the start of the file."
            raise UserError(
                f"{table.path}: there is no column '{name}'.{near} The first "
                f"line must name the columns {', '.join(needed)}; it names "
                f"{', '.join(table.columns)}."
            )
    if {"split", "fold"} <= there:
        raise UserError(f"{table.path} has a column split and a column fold: keep one of them.")
    return event


def _row(line: int, cells: dict[str, str], event: bool, faults: Faults) -> _LabelRow | None:
    """Read a row; None if it cannot be used, with its faults added."""
    found = list(cell_faults(cells, event))
    for fault in found:
        faults.add(line, fault)
    if found:
        return None
    happening = None
    labels: tuple[str, ...] = ()
    if not event:
        labels = tuple(part.strip() for part in cells["label"].split(BETWEEN_LABELS))
    elif cells["label"]:
        start, end = (round(1000 * float(cells[name]), 6) for name in ("onset", "offset"))
        happening = Event(cells["label"], start, end)
    place = SPLIT_CALLED[cells["split"].casefold()] if "split" in cells else cells.get("fold", "")
    return _LabelRow(
        line=line,
        file=posixpath.normpath(cells["file"]),
        labels=labels,
        event=happening,
        place=place,
        group=cells.get("group", ""),
    )


@dataclass
class _Draft:
    """The rows of a recording so far, and the line that gives each label or event.

    An event of None is a row that states that the recording has no events.
    """

    rows: list[_LabelRow] = field(default_factory=list)
    lines: dict[str | Event | None, int] = field(default_factory=dict)

    def contradiction(self, row: _LabelRow) -> str:
        """Return how a new row repeats or contradicts these rows, or ""."""
        for key in row.labels or (row.event,):
            if key in self.lines:
                what = f"the label '{key}' of " if isinstance(key, str) else ""
                return f"repeats {what}line {self.lines[key]}."
        if self.rows and not row.labels and (row.event is None or None in self.lines):
            lines = (self.rows[0].line, row.line)
            empty, full = lines if None in self.lines else reversed(lines)
            return (
                f"line {empty} states that '{row.file}' has no event, but line {full} gives it one."
            )
        first = self.rows[0] if self.rows else row
        for what, its, given in (
            ("split or fold", row.place, first.place),
            ("group", row.group, first.group),
        ):
            if its != given:
                return f"the {what} of '{row.file}' is '{its}', but '{given}' on line {first.line}."
        return ""

    def add(self, row: _LabelRow) -> None:
        self.rows.append(row)
        self.lines |= dict.fromkeys(row.labels or (row.event,), row.line)

    def merged(self) -> Labelled:
        first = self.rows[0]
        events = [(row.event, row.line) for row in self.rows if row.event]
        return Labelled(
            file=first.file,
            line=first.line,
            lines=tuple(row.line for row in self.rows),
            labels=tuple(label for row in self.rows for label in row.labels),
            events=tuple(event for event, _ in events),
            event_lines=tuple(line for _, line in events),
            place=first.place,
            group=first.group,
        )


def _recordings(rows: list[_LabelRow], faults: Faults) -> list[Labelled]:
    drafts: dict[str, _Draft] = {}
    spelt: dict[str, _LabelRow] = {}
    for row in rows:
        before = spelt.setdefault(composed(row.file).casefold(), row)
        draft = drafts.setdefault(before.file, _Draft())
        if before.file != row.file:
            alike = composed(before.file) == composed(row.file)
            how = "the form of accented letters" if alike else "capitals"
            faults.add(
                row.line,
                f"'{row.file}' and '{before.file}' of line {before.line} differ in {how} alone: "
                "use one spelling for one file, or rename one of two files.",
            )
        elif fault := draft.contradiction(row):
            faults.add(row.line, fault)
        else:
            draft.add(row)
    return [draft.merged() for draft in drafts.values()]
