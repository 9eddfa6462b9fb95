"""Read and write the results CSV. Every cell is checked, because people edit the file."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.core.counts import first_of, plural
from harness.core.errors import UserError, did_you_mean_path
from harness.core.files import write_file
from harness.core.rendering import plain
from harness.results.frames import frame, typed
from harness.results.newest import refuse_two_primaries, warn_of_repeated
from harness.results.reading import (
    PlacedRow,
    RowPlace,
    RowReader,
    UnknownVersion,
    columns_of,
)
from harness.results.row import FIELDS, NAMES, NEEDED

_SEPARATORS = (",", ";", "\t")
_NAMED = 8
_DECIMAL_COMMA = re.compile(r"is '-?[0-9]*,[0-9]+': it must be a number")
_ANEW = "make it again from its run: `hear-byola results merge RUN_FOLDER -o OUT.csv`."
_MEND = f"Correct it there, or {_ANEW}"
_HALF = f"The file may be half-written: copy it again, or {_ANEW}"


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a results frame as CSV, in one step; do not touch a file with the same content."""
    stream = io.StringIO()
    typed(table).to_csv(stream, index=False, lineterminator="\n")
    content = stream.getvalue().encode("utf-8", "backslashreplace")
    if not (path.is_file() and path.read_bytes() == content):
        write_file(path, content)


def read_csv(path: Path) -> pd.DataFrame:
    """Read a results CSV, also one that a spreadsheet has saved.

    Columns may have any order, cells may be separated by semicolons or tabs, flags may be TRUE and
    FALSE, and the header may occur again, as in joined files. A row that occurs twice, equal in all
    columns, is read once.

    Warns:
        UserWarning: there are unknown columns, optional columns are missing, the file ends in the
            middle of a line, or repeated rows have different values.

    Raises:
        UserError: the file does not exist, is not a results CSV, is damaged or half-written, has a
            newer schema version, lacks a needed column, has an impossible cell, or lacks an
            evaluation's primary metric over all test folds; with file and line.
    """
    rows = placed_rows(path)
    warn_of_repeated(path, rows)
    return frame(dict.fromkeys(placed.row for placed in rows))


def placed_rows(path: Path) -> list[PlacedRow]:
    """Read the rows of a results CSV with their lines.

    Warns and raises as :func:`read_csv`, but does not compare rows.
    """
    text = _read_text(path)
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    records = _records(path, text, separator)
    header = [name.strip() for name in records[0][1]]
    _check_header(path, header)
    rows = []
    reader = RowReader(header)
    names = [header.index(column) for column in NAMES]
    whole = text.endswith(("\n", "\r"))
    for line, cells in records[1:]:
        if cells == records[0][1]:
            continue
        place = f"{path}, line {line}"
        try:
            _check_length(place, cells, header)
            _check_names(place, [cells[i] for i in names])
            rows.append(PlacedRow(RowPlace(path, line), reader.read(cells, place)))
        except UnknownVersion as error:
            raise UserError(f"{place}: {error}") from None
        except ValueError as error:
            cut = line == records[-1][0] and (len(cells) < len(header) or not whole)
            comma = _DECIMAL_COMMA.search(str(error))
            hint = "Decimals need a point. " if comma else ""
            raise UserError(f"{error} {hint}{_HALF if cut else _MEND}") from None
    if not rows:
        raise UserError(
            f"{path} contains no rows: nothing was scored yet, or the file is half-written. Resume "
            "with the same `hear-byola run`, or copy the file again."
        )
    refuse_two_primaries(rows)
    _check_scores(rows)
    lacking = [column for column in columns_of(reader.version) if column not in header]
    if lacking:
        warnings.warn(
            f"{path} lacks the columns {', '.join(lacking)}: they count as empty.", stacklevel=3
        )
    if not whole:
        warnings.warn(
            f"{path} does not end with a line break: is the copy complete?",
            stacklevel=3,
        )
    return rows


def _check_names(place: str, names: Sequence[str]) -> None:
    for column, name in zip(NAMES, names):
        # Names given to a run may have such characters; in an edited file they are a mistake.
        if not name.isprintable() and plain(name) != name:
            raise ValueError(
                f"{place}: {column} is {name!r}, but a name has no control characters."
            )


def _check_scores(rows: Sequence[PlacedRow]) -> None:
    """Refuse evaluations without the row that tables show."""
    scored = {
        row.evaluation
        for _, row in rows
        if row.measurement.split == "all" and row.measurement.is_primary
    }
    for place, row in rows:
        if row.evaluation not in scored:
            raise UserError(
                f"{place}: {row.title}, has no row over all test folds whose is_primary is True "
                f"(split 'all'). {_MEND}"
            )


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file or folder.{did_you_mean_path(path)} Name a results.csv or a "
            "run's folder."
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path} is UTF-16 text: save it as CSV in UTF-8.")
    if (zero := data.find(b"\0")) >= 0:
        raise UserError(
            f"{path}, line {_line(data, zero)}: there are zero bytes, as after a crash or with a "
            f"full disk. {_HALF}"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}, line {_line(data, error.start)}: not UTF-8 text. Save it as CSV in UTF-8."
        ) from error
    if not text.strip():
        raise UserError(f"{path} is not a results CSV: it is empty.")
    return text


def _line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def _records(path: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Return the first line of each record and its cells, without blank records."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    records = []
    begins = 1
    # The cell with the clips that were left out can be long.
    usual = csv.field_size_limit(max(len(text), csv.field_size_limit()))
    try:
        for cells in reader:
            if any(cells):
                records.append((begins, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}, line {begins}: a quotation mark is not closed ({error}). {_HALF}"
        ) from None
    finally:
        csv.field_size_limit(usual)
    return records


def _check_header(path: Path, header: Sequence[str]) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise UserError(f"{path}, line 1: the column '{twice[0]}' occurs twice. Delete one.")
    unknown = [name for name in header if name not in FIELDS]
    missing = [column for column in NEEDED if column not in header]
    if missing:
        strange = f" It has the unknown column '{unknown[0]}'." if unknown else ""
        raise UserError(
            f"{path}, line 1, lacks the columns {', '.join(first_of(missing, _NAMED))}: is it a "
            f"results.csv?{strange} If so, {_ANEW}"
        )
    if unknown:
        warnings.warn(
            f"{path}: unknown columns are ignored: {', '.join(first_of(unknown, _NAMED))}.",
            stacklevel=4,
        )


def _check_length(place: str, cells: Sequence[str], header: Sequence[str]) -> None:
    if len(cells) != len(header):
        raise ValueError(
            f"{place}: the line has {plural(len(cells), 'cell')}, the header "
            f"{plural(len(header), 'column')} (a text with a comma in it needs quotation marks)."
        )
