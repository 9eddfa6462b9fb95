"""The ``result.json`` that each finished evaluation leaves in its folder, and where those are."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from harness.core.files import write_file
from harness.results.frames import frame
from harness.results.row import (
    ADDED,
    COLUMNS,
    TYPES,
    Place,
    PlacedRow,
    ResultRow,
    UnknownVersion,
    check,
    known_version,
    upgraded,
)

FILE = "result.json"
RECORD = "evaluation.json"  # beside it, of evaluations that left predictions
TABLE = "results.csv"
_KINDS = {"int": int, "float": float | int, "bool": bool, "str": str}


def write_result(directory: Path, rows: Sequence[ResultRow]) -> None:
    """Write ``result.json`` with the rows of one model × task × protocol × seed."""
    entries = [{key: _defined(value) for key, value in asdict(row).items()} for row in rows]
    content = json.dumps({"rows": entries}, indent=1, allow_nan=False)
    write_file(directory / FILE, content + "\n")


def _defined(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def find_evaluations(path: Path) -> list[Path]:
    """Find the folders of the evaluations that a path stands for, in the order of their names.

    Of a run's folder they are below its ``results``; of any other folder below itself, so that a
    part of a run will do, and a folder of several. The ``results.csv`` of a run has those beside
    it; any other file has none, whatever it stands beside.
    """
    if path.is_dir():
        root = path / "results" if (path / "results").is_dir() else path
    elif path.name == TABLE:
        root = path.parent / "results"
    else:
        return []
    found = [file.parent for file in sorted(root.rglob(FILE))]
    # A process that was killed may leave the temporary name of what it was about to finish.
    return [directory for directory in found if not directory.name.startswith(".")]


def read_results(directories: Iterable[Path]) -> pd.DataFrame:
    """Gather the ``result.json`` of each folder into one frame.

    Warns:
        UserWarning: a file that is damaged, or of a newer schema version; it is left out.
    """
    return frame(placed.row for placed in placed_results(directories))


def placed_results(directories: Iterable[Path]) -> Iterator[PlacedRow]:
    """Yield the rows of each folder with their places; warns as :func:`read_results`."""
    for directory in directories:
        path = directory / FILE
        try:
            rows = _read(path)
        except (OSError, ValueError, RecursionError) as error:
            cure = "Delete its folder, and run again to make it anew."
            said = f"{error}." if isinstance(error, UnknownVersion) else f"{error}. {cure}"
            warnings.warn(f"{path} is left out: {said}", stacklevel=2)
            continue
        for number, row in enumerate(rows, start=1):
            yield PlacedRow(Place(path, number), row)


def _read(path: Path) -> list[ResultRow]:
    content = json.loads(path.read_text("utf-8"))
    entries = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError("it holds no rows")
    rows = []
    for number, entry in enumerate(entries, start=1):
        try:
            rows.append(_row(entry))
        except UnknownVersion:
            raise
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from error
    return rows


def _row(entry: object) -> ResultRow:
    if not isinstance(entry, dict):
        raise ValueError(f"not an object, but {entry!r}")
    version = known_version(entry.get("schema_version"))
    lacking = [c for c in COLUMNS if c not in entry and ADDED.get(c, 1) <= version]
    if lacking:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    for column, value in entry.items():
        if column not in TYPES:
            raise ValueError(f"it holds '{column}', which is no column of results")
        kind = TYPES[column].removesuffix(" | None")
        right = isinstance(value, _KINDS[kind]) and isinstance(value, bool) == (kind == "bool")
        if not right and not (value is None and TYPES[column].endswith("None")):
            raise ValueError(f"{column} is {value!r}, which is no {kind}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{column} is {value}, not a finite number")
    row = upgraded(entry)
    check(row)
    return row
