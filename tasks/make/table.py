"""Read a CSV table as spreadsheets save it, separated by commas, semicolons or tabs."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.hashing import content_sha256
from tasks.make.faults import Faults

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}


@dataclass(frozen=True)
class Table:
    """A table's rows below its first line, which names the columns.

    Attributes:
        path: path of the file.
        sha256: SHA-256 of the file's content.
        columns: names of the columns, in lower case.
        rows: (line in the file, cell by column), without empty rows; cells are stripped.
    """

    path: Path
    sha256: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def read_table(path: Path, known: Collection[str], faults: Faults) -> Table:
    """Read a table: UTF-8 or UTF-16 (with a mark), separated by commas, semicolons or tabs.

    Args:
        path: the file.
        known: expected columns; the separator that gives most of them is used.
        faults: collects the rows that do not fit the first line.

    Raises:
        UserError: the table cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    text = _decoded(content, path)
    delimiter = _delimiter(text, known)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    columns: tuple[str, ...] = ()
    rows = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if not columns:
                columns = _columns(cells, path)
            elif fault := _misfit(cells, columns, delimiter):
                faults.add(reader.line_num, fault)
            else:
                rows.append((reader.line_num, dict(zip(columns, cells))))
    except csv.Error as error:
        faults.add(reader.line_num, f"{error}: is a quotation mark open?")
    if not rows:
        faults.refuse()
        raise UserError(
            f"{path} contains no row. The first line must name the columns, and each other line "
            "describes a clip."
        )
    return Table(path, content_sha256(content), columns, tuple(rows))


def _decoded(content: bytes, path: Path) -> str:
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: not UTF-8 text. Save it with the encoding UTF-8 (in a "
            'spreadsheet: "CSV UTF-8").'
        ) from error


def _delimiter(text: str, known: Collection[str]) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")

    def found(delimiter: str) -> int:
        cells = next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])
        return len({cell.strip().casefold() for cell in cells} & set(known))

    return max(_DELIMITERS, key=found)


def _columns(cells: Sequence[str], path: Path) -> tuple[str, ...]:
    columns = tuple(cell.casefold() for cell in cells)
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise UserError(f"{path}: the column '{twice[0]}' occurs twice in the first line.")
    return columns


def _misfit(cells: Sequence[str], columns: Sequence[str], delimiter: str) -> str:
    if len(cells) == len(columns) or (len(cells) > len(columns) and not any(cells[len(columns) :])):
        return ""
    advice = f"quote a cell that contains a {_DELIMITERS[delimiter]}"
    if len(cells) < len(columns):
        advice = "keep the separators of empty cells"
    count = plural(len(cells), "cell")
    return f"has {count}, but the first line has {len(columns)}: {advice}."
