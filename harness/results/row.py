"""A result row: its groups of fields and its columns.

To add a column, give the field a default for rows of older versions, add the column to ``COLUMNS``
and ``ADDED``, and increase ``SCHEMA_VERSION``.
"""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args, get_type_hints

from pydantic import AfterValidator, Field, model_validator

from harness.core.cells import Amount, ColumnGroup, Count, Name, TrueOrFalse
from harness.metrics.registry import REPORTED
from harness.models.info import ModelInfo

SCHEMA_VERSION = 4
_COLUMNS = """
    schema_version run_id model model_options model_fingerprint checkpoint checkpoint_sha256
    frontend_convention task task_version task_sha256 suite protocol seed split metric is_primary
    higher_is_better value ci_low ci_high ci_method n_boot standard_error freedom training_error
    n_groups design_effect clip_error fold_std n_train n_valid n_test n_skipped n_classes
    n_classes_scored embedding_size hop_ms sample_rate resampled_from selected_params embed_seconds
    probe_seconds audio_seconds device status error notes module task_kind
    checkpoint_revision layer probe_version shots harness_version torch_version command started_at
"""
COLUMNS = _COLUMNS.split()
"""The columns of a results CSV, in order."""

_ADDED = "module task_kind standard_error freedom training_error n_groups design_effect clip_error"
ADDED: Mapping[str, int] = {
    **dict.fromkeys(_ADDED.split(), 2),
    **dict.fromkeys(("checkpoint_revision", "layer", "probe_version"), 3),
    "shots": 4,
}
"""The schema version in which each column was added; columns of the first version are absent."""

KEY = ["task", "protocol", "model", "model_fingerprint", "seed", "split", "metric"]
"""The columns that identify a row."""

NAMES = ("model", "task", "protocol", "split", "metric")

# Without these columns a row cannot be identified, or its value cannot be trusted.
NEEDED = [*COLUMNS[: COLUMNS.index("value") + 1], "status", "started_at"]

_ROUNDED = 1e-9


def _task_name(text: str) -> str:
    if text.partition(" ")[0] == "mean":
        raise ValueError("another name, because tables use this one for means")
    return text


def _utc(text: str) -> str:
    """Return a time in UTC; times are compared as texts, so all must have the same form."""
    try:
        time = datetime.datetime.fromisoformat(text) if text else None
        if time is None or (time.isoformat() == text and time.utcoffset() == datetime.timedelta(0)):
            return text
    except ValueError:
        pass
    raise ValueError("a time in UTC such as 2026-01-31T12:00:00+00:00")


class RunInfo(ColumnGroup):
    """The run that a row comes from; ``started_at`` is in UTC."""

    schema_version: Count = SCHEMA_VERSION
    run_id: str
    harness_version: str = ""
    torch_version: str = ""
    command: str = ""
    started_at: Annotated[str, AfterValidator(_utc)] = ""

    @property
    def order(self) -> tuple[str, str]:
        """Sort key of runs; later runs have greater keys."""
        return self.started_at, self.run_id


class TaskInfo(ColumnGroup):
    """The task; ``kind`` is ``multiclass``, ``multilabel`` or ``event``, empty in version 1."""

    name: Annotated[Name, AfterValidator(_task_name), Field(alias="task")]
    version: Annotated[str, Field(alias="task_version")]
    sha256: Annotated[str, Field(alias="task_sha256")]
    suite: str
    kind: Annotated[str, Field(alias="task_kind")] = ""


class EmbeddingInfo(ColumnGroup):
    """The embeddings of all splits. ``hop_ms`` is the distance between timestamps."""

    embedding_size: Count | None = None
    hop_ms: Amount | None = None
    resampled_from: Count | None = None
    n_skipped: Count | None = None
    embed_seconds: Amount | None = None
    audio_seconds: Amount | None = None
    device: str = ""


class ProbeInfo(ColumnGroup):
    """The probes: protocol, seed, numbers of clips, selected parameters as JSON.

    ``version`` is that of the code of probes and scores; versions 1 and 2 of the schema lack it.
    ``shots`` is the number of training clips of each label; ``seed`` is then the number of the draw
    of clips, and ``protocol`` contains it too.
    """

    protocol: Name
    version: Annotated[Count | None, Field(alias="probe_version")] = None
    seed: Count
    n_train: Count | None = None
    n_valid: Count | None = None
    selected_params: str = ""
    probe_seconds: Amount | None = None
    shots: Count | None = None


class Measurement(ColumnGroup):
    """A metric's value on one split.

    ``split`` is a test fold, or ``all``: the mean over test folds, or the only test split.
    ``value`` is None if ``status`` is ``failed`` or the metric is undefined, for example the area
    under a curve on a test split with one class. ``fold_std`` has ddof 1, as in the original kit.
    """

    split: Name
    metric: Name
    is_primary: TrueOrFalse
    higher_is_better: TrueOrFalse
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str = ""
    n_boot: Count | None = None
    standard_error: Amount | None = None
    freedom: Amount | None = None
    training_error: Amount | None = None
    n_groups: Count | None = None
    design_effect: Amount | None = None
    clip_error: Amount | None = None
    fold_std: Amount | None = None
    n_test: Count | None = None
    n_classes: Count | None = None
    n_classes_scored: Count | None = None
    status: Literal["done", "failed"] = "done"
    error: str = ""
    notes: str = ""

    @model_validator(mode="after")
    def _check(self) -> Measurement:
        if self.status == "failed" and self.value is not None:
            raise ValueError(f"status is failed, but the value is {self.value}.")
        self._check_value()
        self._check_interval()
        return self

    def _check_value(self) -> None:
        metric = REPORTED.get(self.metric)
        if metric is None:
            return
        if self.higher_is_better != metric.higher_is_better:
            raise ValueError(
                f"higher_is_better is {self.higher_is_better}, but for {self.metric} it is "
                f"{metric.higher_is_better}."
            )
        low, high = metric.range
        if self.value is not None and not low <= self.value <= high:
            percent = " (is it in percent?)" if high == 1 < self.value <= 100 else ""
            limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g} on"
            raise ValueError(f"value is {self.value}, but {self.metric} ranges {limits}{percent}.")

    def _check_interval(self) -> None:
        low, high, value = self.ci_low, self.ci_high, self.value
        if (low is None) != (high is None):
            raise ValueError("one of ci_low and ci_high is empty.")
        if low is None or high is None:
            return
        if low > high:
            raise ValueError(f"ci_low {low} is above ci_high {high}.")
        if value is None:
            return
        slack = _ROUNDED * max(1.0, abs(value))
        if not low - slack <= value <= high + slack:
            raise ValueError(
                f"value is {value}, but its interval, from {low} to {high}, does not contain it."
            )


@dataclass(frozen=True)
class ResultRow:
    """One value: a metric of one model on one split of one task, by one protocol and seed."""

    run: RunInfo
    model: ModelInfo
    task: TaskInfo
    embedding: EmbeddingInfo
    probe: ProbeInfo
    measurement: Measurement

    @property
    def evaluation(self) -> tuple:
        """The evaluation of the row: the first columns of ``KEY``."""
        model, probe = self.model, self.probe
        return (self.task.name, probe.protocol, model.label, model.fingerprint, probe.seed)

    @property
    def key(self) -> tuple:
        """The columns ``KEY``, which identify the row."""
        return (*self.evaluation, self.measurement.split, self.measurement.metric)

    @property
    def title(self) -> str:
        """The evaluation of the row, in words."""
        model, probe = self.model.label, self.probe
        return f"{model} on {self.task.name} by {probe.protocol}, seed {probe.seed}"

    def flat(self) -> dict[str, object]:
        """Return the row's value in each of ``COLUMNS``."""
        return {c: getattr(getattr(self, group), name) for c, (group, name) in FIELDS.items()}


GROUPS: Mapping[str, type[ColumnGroup]] = get_type_hints(ResultRow)
_found = {
    info.alias or name: (group, name)
    for group, kind in GROUPS.items()
    for name, info in kind.model_fields.items()
}
FIELDS = {column: _found[column] for column in COLUMNS}
"""The group and the field of each column."""

_HINTS = {group: get_type_hints(kind) for group, kind in GROUPS.items()}


@functools.cache
def kind_of(column: str) -> type:
    """Return the type of a column's values: bool, int, float or str."""
    group, name = FIELDS[column]
    hint = _HINTS[group][name]
    return next((k for k in (bool, int, float) if k in (hint, *get_args(hint))), str)
