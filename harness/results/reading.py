"""Read result rows from cells of a CSV or values of a JSON file, also of older schema versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.cells import ColumnGroup
from harness.results.row import ADDED, COLUMNS, FIELDS, GROUPS, SCHEMA_VERSION, ResultRow
from hear_byola.core.schema import read


class RowPlace(NamedTuple):
    """Where a row is: the file, and the line of a CSV or the row of a ``result.json``."""

    file: Path
    number: int

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.number}"

    @property
    def unit(self) -> str:
        """Word for the number: line or row."""
        return "row" if self.file.suffix == ".json" else "line"


class PlacedRow(NamedTuple):
    """A row and where it was read."""

    place: RowPlace
    row: ResultRow


class UnknownVersion(ValueError):
    """A schema version that this harness cannot read; the message gives the remedy."""


def columns_of(version: int) -> list[str]:
    """Return the columns of a schema version."""
    return [column for column in COLUMNS if ADDED.get(column, 1) <= version]


def known_version(text: str) -> int:
    """Return a schema version from its cell.

    Raises:
        UnknownVersion: it is newer than this harness, or not a version.
    """
    number = text.strip().removesuffix(".0")  # a spreadsheet may write 2.0
    version = int(number) if number.isdecimal() else 0
    if version < 1:
        raise UnknownVersion(f"schema_version is {text}, which is not a version.")
    if version > SCHEMA_VERSION:
        raise UnknownVersion(
            f"schema version {version} is from a newer harness, but this one reads versions up to "
            f"{SCHEMA_VERSION}: update hear-byola."
        )
    return version


class RowReader:
    """Reads rows of texts. Equal groups of cells are parsed once.

    Args:
        columns: the names of the columns; unknown ones are ignored.

    Attributes:
        version: the highest schema version that was read.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.version = 1
        places = {column: i for i, column in enumerate(columns) if column in FIELDS}
        self._version = places["schema_version"]
        names = {g: [c for c in places if FIELDS[c][0] == g] for g in GROUPS}
        self._groups = [(g, names[g], [places[c] for c in names[g]]) for g in GROUPS]
        self._known: dict[tuple[str, int, tuple[str, ...]], ColumnGroup] = {}

    def read(self, cells: Sequence[str], place: str) -> ResultRow:
        """Return a row of this schema version from cells of this version or an older one.

        Columns that are newer than the row's version get their defaults.

        Args:
            cells: one text per column; a missing number is empty.
            place: where the row is; errors begin with it.

        Raises:
            UnknownVersion: see :func:`known_version`.
            ValueError: some values are impossible; the message names the columns and the allowed
                values.
        """
        version = known_version(cells[self._version])
        self.version = max(self.version, version)
        found: dict[str, Any] = {}
        for group, names, places in self._groups:
            part = tuple(map(cells.__getitem__, places))
            key = (group, version, part)
            if key not in self._known:
                values = dict(zip(names, part))
                if version < SCHEMA_VERSION:
                    values = {c: v for c, v in values.items() if ADDED.get(c, 1) <= version}
                if group == "run":
                    values["schema_version"] = str(SCHEMA_VERSION)
                self._known[key] = read(GROUPS[group], values, place, ValueError)
            found[group] = self._known[key]
        return ResultRow(**found)
