"""A result row: its columns, what each of them may hold, and how rows of older versions are read.

To add a column, give the field a default that means what older versions did, raise
``SCHEMA_VERSION``, and name the column in ``ADDED``.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from harness.metrics.registry import REPORTED

SCHEMA_VERSION = 2
ADDED: Mapping[str, int] = {
    "module": 2,
    "task_kind": 2,
    "standard_error": 2,
    "freedom": 2,
    "training_error": 2,
    "n_groups": 2,
    "design_effect": 2,
    "clip_error": 2,
}
"""The schema version that each column came with; those of the first version are not named."""

KEY = ["task", "protocol", "model", "model_fingerprint", "seed", "split", "metric"]
"""The columns that say what a row tells the value of."""

STATUSES = ("done", "failed")


@dataclass(frozen=True)
class ResultRow:
    """One value: a metric of one model on one split of one task, by one protocol and seed.

    ``split`` is a test fold, or ``all``: the mean over test folds (the test split itself where
    there is one). Seconds are wall-clock; ``hop_ms`` is the spacing of timestamps; ``fold_std``
    has ddof 1, as the original kit's. ``value`` is None where ``status`` is ``failed``, and where
    the metric is undefined (the area under a curve of a test split with one class, say).
    ``module`` is the model's module as it was named. ``task_kind`` is ``multiclass``,
    ``multilabel`` or ``event``. Both are empty in rows of schema version 1.
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
    standard_error: float | None = None
    freedom: float | None = None
    training_error: float | None = None
    n_groups: int | None = None
    design_effect: float | None = None
    clip_error: float | None = None
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
    module: str = ""
    task_kind: str = ""
    harness_version: str = ""
    torch_version: str = ""
    command: str = ""
    started_at: str = ""

    @property
    def key(self) -> tuple:
        """What the row tells the value of: its columns ``KEY``."""
        return tuple(getattr(self, column) for column in KEY)


COLUMNS = [field.name for field in fields(ResultRow)]
TYPES = {field.name: str(field.type) for field in fields(ResultRow)}
DEFAULTS = {f.name: f.default for f in fields(ResultRow) if f.default is not MISSING}
# Without these a row does not say what it tells, or whether it may be trusted.
NEEDED = [c for c in COLUMNS if c not in DEFAULTS or c in ("value", "status", "started_at")]
_ROUNDED = 1e-9
_MOST = 2**53  # whole numbers up to it are exact, also as floats
NAMES = ("model", "task", "protocol", "split", "metric")
_FROM_ZERO = [
    *(c for c, kind in TYPES.items() if kind.startswith("int")),
    *(c for c in COLUMNS if c.endswith("_seconds")),
    "fold_std",
    "hop_ms",
    "standard_error",
    "freedom",
    "training_error",
    "design_effect",
    "clip_error",
]


class UnknownVersion(ValueError):
    """A schema version that this harness cannot read; the message says what to do."""


class Place(NamedTuple):
    """Where a row stands: the file, and the line of a CSV or the row of a ``result.json``."""

    file: Path
    number: int

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.number}"

    @property
    def unit(self) -> str:
        """What is counted."""
        return "row" if self.file.suffix == ".json" else "line"


class PlacedRow(NamedTuple):
    """A row and where it was read."""

    place: Place
    row: ResultRow


def upgraded(values: Mapping[str, object]) -> ResultRow:
    """Return a row of this schema version from the typed values of any that is not newer.

    Columns that came after the row's version take their defaults.

    Raises:
        UnknownVersion: see :func:`known_version`.
    """
    version = known_version(values["schema_version"])
    later = {column: DEFAULTS[column] for column, came in ADDED.items() if version < came}
    return ResultRow(**{**values, **later, "schema_version": SCHEMA_VERSION})


def known_version(version: object) -> int:
    """Return a schema version that this harness can read.

    Raises:
        UnknownVersion: it is newer, or none.
    """
    if not isinstance(version, int) or version < 1:
        raise UnknownVersion(f"schema_version is {version!r}, which is none")
    if version > SCHEMA_VERSION:
        raise UnknownVersion(
            f"schema version {version} is of a newer harness, and this one reads up to "
            f"{SCHEMA_VERSION}: update hear-byola"
        )
    return version


def check(row: ResultRow) -> None:
    """Refuse what no evaluation can have given.

    Raises:
        ValueError: a sentence that names the column and what it may hold.
    """
    for column in NAMES:
        if not getattr(row, column):
            raise ValueError(f"{column} is empty")
    if row.task.partition(" ")[0] == "mean":
        raise ValueError(f"task is '{row.task}', as tables call a mean: give it another name")
    if row.status not in STATUSES:
        raise ValueError(f"status is '{row.status}', not {' or '.join(STATUSES)}")
    if row.status == "failed" and row.value is not None:
        raise ValueError(f"status is failed, and yet the value is {row.value}")
    for column in _FROM_ZERO:
        number = getattr(row, column)
        if number is not None and number < 0:
            raise ValueError(f"{column} is {number}, which cannot be below 0")
        if number is not None and number > _MOST:
            raise ValueError(f"{column} is {number:.3g}, more than anything that is counted")
    _check_value(row)
    if (row.ci_low is None) != (row.ci_high is None):
        raise ValueError("one of ci_low and ci_high is empty")
    if row.ci_low is not None and row.ci_high is not None and row.ci_low > row.ci_high:
        raise ValueError(f"ci_low {row.ci_low} is above ci_high {row.ci_high}")
    _check_interval(row)
    _check_time(row.started_at)


def _check_value(row: ResultRow) -> None:
    metric = REPORTED.get(row.metric)
    if metric is None:
        return
    if row.higher_is_better != metric.higher_is_better:
        raise ValueError(
            f"higher_is_better is {row.higher_is_better}, which {row.metric} contradicts"
        )
    low, high = metric.range
    if row.value is not None and not low <= row.value <= high:
        percent = " (is it in percent?)" if high == 1 < row.value <= 100 else ""
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g} on"
        raise ValueError(f"value is {row.value}, and {row.metric} goes {limits}{percent}")


def _check_interval(row: ResultRow) -> None:
    """Every interval that is made here holds its value."""
    if row.value is None or row.ci_low is None or row.ci_high is None:
        return
    slack = _ROUNDED * max(1.0, abs(row.value))
    if not row.ci_low - slack <= row.value <= row.ci_high + slack:
        raise ValueError(
            f"value is {row.value}, which its interval, from {row.ci_low} to {row.ci_high}, does "
            "not hold"
        )


def _check_time(text: str) -> None:
    """Times are compared as texts, so all must be written alike."""
    if not text:
        return
    try:
        time = datetime.datetime.fromisoformat(text)
        if time.isoformat() == text and time.utcoffset() == datetime.timedelta(0):
            return
    except ValueError:
        pass
    raise ValueError(f"started_at is '{text}', not a time in UTC such as 2026-01-31T12:00:00+00:00")
