"""Find, read and write the ``result.json`` files of finished evaluations."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from harness.core.errors import damage_in, printable
from harness.core.files import write_file
from harness.results.frames import frame
from harness.results.reading import (
    PlacedRow,
    RowPlace,
    RowReader,
    UnknownVersion,
    columns_of,
    known_version,
)
from harness.results.row import COLUMNS, FIELDS, ResultRow

FILE = "result.json"
RECORD = "evaluation.json"  # in the same folder, for evaluations with predictions
TABLE = "results.csv"


def write_result(directory: Path, rows: Sequence[ResultRow]) -> None:
    """Write ``result.json`` with the rows of one model × task × protocol × seed."""
    content = json.dumps({"rows": [row.flat() for row in rows]}, indent=1, allow_nan=False)
    write_file(directory / FILE, content + "\n")


def check_evaluation(directory: Path) -> None:
    """Check the files of a finished evaluation, as far as this does not read all predictions.

    Raises:
        Damaged: a file is empty, cut or overwritten.
    """
    with damage_in(directory):
        _entries(directory / FILE)
        if not isinstance(json.loads((directory / RECORD).read_bytes()), dict):
            raise ValueError(f"{RECORD} is not an object")
        for path in directory.glob("*.npz"):
            if not zipfile.is_zipfile(path):
                raise ValueError(f"{path.name} is not an archive of arrays")


def find_evaluations(path: Path) -> list[Path]:
    """Return the folders of the evaluations that belong to a path, in the order of their names.

    In a run's folder they are below its ``results``. In any other folder they are below the folder
    itself, so that the path can be a part of a run or a folder of several runs. The ``results.csv``
    of a run has the evaluations of its folder; any other file has none.
    """
    if path.is_dir():
        root = path / "results" if (path / "results").is_dir() else path
    elif path.name == TABLE:
        root = path.parent / "results"
    else:
        return []
    found = [file.parent for file in sorted(root.rglob(FILE))]
    # A killed process can leave folders with temporary names, which begin with a dot.
    return [directory for directory in found if not directory.name.startswith(".")]


def read_results(directories: Iterable[Path]) -> pd.DataFrame:
    """Return the rows of the folders' ``result.json`` files as one frame.

    Warns:
        UserWarning: a file is damaged, or has a newer schema version; it is left out.
    """
    return frame(placed.row for placed in placed_results(directories))


def placed_results(directories: Iterable[Path]) -> Iterator[PlacedRow]:
    """Yield the rows of each folder with their places; warns as :func:`read_results`."""
    reader = RowReader(COLUMNS)
    for directory in directories:
        path = directory / FILE
        try:
            entries = [_cells(entry, f"row {n}") for n, entry in enumerate(_entries(path), start=1)]
            rows = [reader.read(cells, f"row {n}") for n, cells in enumerate(entries, start=1)]
        except UnknownVersion as error:
            warnings.warn(f"{path} is left out: {error}", stacklevel=2)
        except Exception as error:  # damaged files raise all kinds
            cure = "Run again."
            warnings.warn(
                f"{path} is left out: {printable(str(error)).rstrip('.')}. {cure}", stacklevel=2
            )
        else:
            for number, row in enumerate(rows, start=1):
                yield PlacedRow(RowPlace(path, number), row)


def _entries(path: Path) -> list:
    content = json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
    entries = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError("it contains no rows")
    return entries


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _cells(entry: object, place: str) -> list[str]:
    """Return a row's values as cells of a CSV; cells of newer columns are empty."""
    if not isinstance(entry, dict):
        raise ValueError(f"{place} is not an object, but {entry!r}")
    version = known_version(str(entry.get("schema_version")))
    lacking = [column for column in columns_of(version) if column not in entry]
    odd = [
        name
        for name, value in entry.items()
        if name not in FIELDS or isinstance(value, dict | list)
    ]
    if lacking:
        raise ValueError(f"{place} lacks {', '.join(lacking)}")
    if odd:
        raise ValueError(
            f"{place} contains {odd[0]!r}: {entry[odd[0]]!r}, which results do not have"
        )
    return ["" if entry.get(c) is None else str(entry[c]) for c in COLUMNS]
