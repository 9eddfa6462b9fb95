"""The files of finished evaluations, and the results CSV that is derived from them.

The folder of an evaluation, ``RUN/results/MODEL/TASK/PROTOCOL-seedK-FINGERPRINT``, contains:

- ``result.json``: its result rows (:mod:`harness.results.folder`);
- ``evaluation.json``: its task, folds, embeddings and probes (:mod:`harness.results.record`);
- ``SPLIT.predictions.npz``, for events also ``SPLIT.events.json`` and ``SPLIT.reference.json``:
  test predictions and the truth (:mod:`harness.results.predictions`);
- ``test.predicted-scores.json``: its scores as the original kit writes them.

A failed evaluation leaves only ``result.json``. ``results.csv`` is rebuilt from all ``result.json``
files at the end of a run; workers never write it. Python reads results by ``harness.load``.

``results/README.md`` explains the columns.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.core.errors import UserError
from harness.core.files import expand_home
from harness.results.csvfile import placed_rows, read_csv, write_csv
from harness.results.folder import (
    TABLE,
    check_evaluation,
    find_evaluations,
    placed_results,
    read_results,
    write_result,
)
from harness.results.frames import frame, latest
from harness.results.newest import Repeated, newest, warn_of_repeated, warn_of_runs_that_differ
from harness.results.reading import PlacedRow
from harness.results.row import COLUMNS, KEY, SCHEMA_VERSION, ResultRow
from harness.results.seeds import seed_spread

__all__ = [
    "COLUMNS",
    "KEY",
    "SCHEMA_VERSION",
    "PlacedRow",
    "Repeated",
    "ResultRow",
    "check_evaluation",
    "find_evaluations",
    "frame",
    "latest",
    "load",
    "newest",
    "read_csv",
    "read_placed",
    "read_results",
    "read_rows",
    "seed_spread",
    "write_csv",
    "write_result",
]


def load(path: Path | str) -> pd.DataFrame:
    """Read results from a CSV, or from the folder of a run.

    The frame has one row per value, in canonical order, with the columns ``COLUMNS``. Numbers are
    float64 or nullable Int64, flags bool, all else text. A folder is read from the ``result.json``
    files of its evaluations; if there are none, from its ``results.csv``.

    Raises:
        UserError: there are no results, or they are damaged; with file and line.
    """
    return frame(dict.fromkeys(placed.row for placed in read_rows(Path(expand_home(path)))))


def read_rows(path: Path) -> list[PlacedRow]:
    """Read the rows of :func:`load` with their places.

    Warns:
        UserWarning: repeated rows have different values.

    Raises:
        UserError: as :func:`load`; two rows of one run contradict each other.
    """
    rows = read_placed(path)
    if path.is_dir():
        warn_of_runs_that_differ(rows)
    else:
        warn_of_repeated(path, rows)
    return rows


def read_placed(path: Path) -> list[PlacedRow]:
    """Read rows with their places, in the order of the files, without comparing them."""
    path = _csv_of(path)
    if not path.is_dir():
        return placed_rows(path)
    rows = list(placed_results(find_evaluations(path)))
    if not rows:
        raise UserError(f"{path} contains no finished results.")
    return rows


def _csv_of(path: Path) -> Path:
    copied = path / TABLE
    return copied if copied.is_file() and not find_evaluations(path) else path
