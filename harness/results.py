"""Result rows and the CSV that is derived from them.

Each finished unit writes its own ``result.json``; ``results.csv`` is rebuilt from all of them, in
canonical order, and renamed into place. Workers never touch it.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from harness.errors import UserError
from harness.files import write_file

SCHEMA_VERSION = 1
_KEY = ["task", "protocol", "model", "model_fingerprint", "seed", "split", "metric"]


@dataclass(frozen=True)
class ResultRow:
    """One value: a metric of one model on one split of one task, by one protocol and seed.

    ``split`` is a test fold, or ``all``: the mean over test folds (the test split itself where
    there is one). Seconds are wall-clock; ``hop_ms`` is the spacing of timestamps; ``fold_std``
    has ddof 1, as the original kit's. ``value`` is None where ``status`` is ``failed``, and where
    the metric is undefined (the area under a curve of a test split with one class, say).
    """

    schema_version: int
    run_id: str
    model: str
    model_options: str
    model_fingerprint: str
    checkpoint: str
    checkpoint_sha256: str
    frontend_convention: str
    task: str
    task_version: str
    task_sha256: str
    suite: str
    protocol: str
    seed: int
    split: str
    metric: str
    is_primary: bool
    higher_is_better: bool
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str = ""
    n_boot: int | None = None
    fold_std: float | None = None
    n_train: int | None = None
    n_valid: int | None = None
    n_test: int | None = None
    n_skipped: int | None = None
    n_classes: int | None = None
    n_classes_scored: int | None = None
    embedding_size: int | None = None
    hop_ms: float | None = None
    sample_rate: int | None = None
    resampled_from: int | None = None
    selected_params: str = ""
    embed_seconds: float | None = None
    probe_seconds: float | None = None
    audio_seconds: float | None = None
    device: str = ""
    status: str = "done"
    error: str = ""
    notes: str = ""
    harness_version: str = ""
    torch_version: str = ""
    command: str = ""
    started_at: str = ""


COLUMNS = [field.name for field in fields(ResultRow)]
_INTEGERS = [f.name for f in fields(ResultRow) if f.type in ("int", "int | None")]
_FLOATS = [f.name for f in fields(ResultRow) if f.type == "float | None"]
_FLAGS = [f.name for f in fields(ResultRow) if f.type == "bool"]


def write_result(directory: Path, rows: Sequence[ResultRow]) -> None:
    """Write ``result.json`` with the rows of one model × task × protocol × seed."""
    entries = [{key: _defined(value) for key, value in asdict(row).items()} for row in rows]
    content = json.dumps({"rows": entries}, indent=1, allow_nan=False)
    write_file(directory / "result.json", content + "\n")


def _defined(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def frame(rows: Iterable[ResultRow]) -> pd.DataFrame:
    """Return rows as a frame with the CSV's columns, types and canonical order."""
    return _typed(pd.DataFrame([asdict(row) for row in rows], columns=COLUMNS))


def collect(results: Path) -> pd.DataFrame:
    """Gather every ``result.json`` below a folder into one frame.

    Warns:
        UserWarning: a file that is not ours, or of another schema version; it is left out.
    """
    return read_results(path.parent for path in sorted(results.rglob("result.json")))


def read_results(directories: Iterable[Path]) -> pd.DataFrame:
    """Gather the ``result.json`` of each folder; warnings are those of :func:`collect`."""
    rows = []
    for directory in directories:
        path = directory / "result.json"
        try:
            rows += [_row(entry) for entry in json.loads(path.read_text())["rows"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"{path} is left out: {error}. Delete its folder, and run again to make it anew.",
                stacklevel=2,
            )
    return frame(rows)


def _row(entry: dict) -> ResultRow:
    found = entry.get("schema_version")
    if found != SCHEMA_VERSION:
        raise ValueError(f"schema version {found}, and this harness reads {SCHEMA_VERSION}")
    return ResultRow(**entry)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a results frame as CSV, in one step."""
    stream = io.StringIO()
    _typed(table).to_csv(stream, index=False, lineterminator="\n")
    write_file(path, stream.getvalue())


def read_csv(path: Path) -> pd.DataFrame:
    """Read a results CSV.

    Raises:
        UserError: no such file, not a results CSV, columns missing, another schema version, a value
            that is not of its column's type.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Name a results.csv or a run's folder.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a results CSV: {error}") from error
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: is it a results.csv?")
    versions = sorted(set(table["schema_version"]) - {str(SCHEMA_VERSION)})
    if versions:
        raise UserError(
            f"{path} has rows of schema version {', '.join(versions)}; this harness reads "
            f"version {SCHEMA_VERSION}. Rebuild it with `hear-byola results table RUN_FOLDER`."
        )
    for column in _INTEGERS + _FLOATS:
        numbers = pd.to_numeric(table[column].replace("", None), errors="coerce")
        wrong = numbers.isna() & ~table[column].str.lower().isin(["", "nan"])
        if wrong.any():
            line = int(wrong.to_numpy().argmax())
            raise UserError(
                f"{path}, line {line + 2}: {column} is '{table[column].iloc[line]}', not a number."
            )
        table[column] = numbers
    for column in _FLAGS:
        table[column] = table[column].map({"True": True, "False": False})
        if table[column].isna().any():
            line = int(table[column].isna().to_numpy().argmax())
            raise UserError(f"{path}, line {line + 2}: {column} must be True or False.")
    return _typed(table)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    table = table[COLUMNS].copy()
    for column in _INTEGERS:
        table[column] = pd.to_numeric(table[column]).astype("Int64")
    for column in _FLOATS:
        table[column] = pd.to_numeric(table[column]).astype("float64")
    for column in _FLAGS:
        table[column] = table[column].astype(bool)
    return table.sort_values([*_KEY, "started_at"], kind="stable").reset_index(drop=True)


def load(path: Path) -> pd.DataFrame:
    """Read results from a CSV, or from the folder of a run.

    Raises:
        UserError: nothing there, or not results.
    """
    if path.is_dir():
        table = collect(path / "results" if (path / "results").is_dir() else path)
        if table.empty:
            raise UserError(f"{path} holds no finished results.")
        return table
    return read_csv(path)


def latest(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the newest of rows that tell the same thing, and no failure that was mended since.

    Two models of one name (a checkpoint that was overwritten, say) stay two: where both have a
    value of the same task, their names get the beginning of their fingerprints.
    """
    newest = table.sort_values("started_at", kind="stable").drop_duplicates(_KEY, keep="last")
    place = ["task", "protocol", "model", "seed"]
    done = newest[newest.status == "done"].groupby(place).started_at.max().rename("mended")
    newest = newest.join(done, on=place)
    stale = (newest.status == "failed") & (newest.started_at < newest.mended.fillna(""))
    newest = newest[~stale].drop(columns="mended")
    twins = newest.groupby([*place, "split", "metric"]).model_fingerprint.nunique()
    names = set(twins[twins > 1].index.get_level_values("model"))
    marked = newest.model + "@" + newest.model_fingerprint.str[:8]
    return newest.assign(model=newest.model.where(~newest.model.isin(names), marked))
