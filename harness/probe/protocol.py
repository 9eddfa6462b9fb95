"""Protocols: how a probe is searched, fed and stopped, as records.

A record says everything by which two protocols differ. Protocols are defined in
:mod:`harness.probe.protocols`. Nothing in any protocol is chosen on a test split.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from harness.core.kinds import EmbeddingType, PredictionType
from harness.metrics.registry import find_metric
from harness.probe.classifier import Classifier
from harness.probe.shots import leaves_clips_out
from tasks.format.task import Task

if TYPE_CHECKING:
    from harness.embeddings.store import SplitEmbeddings
    from harness.probe.units import UnitResult

MULTICLASS, MULTILABEL = PredictionType.MULTICLASS.value, PredictionType.MULTILABEL.value
EVENT = EmbeddingType.EVENT.value
ALL_KINDS = (MULTICLASS, MULTILABEL, EVENT)


class Search(str, Enum):
    """Where grid points are compared.

    ``FIRST_FOLD``: the winner on the first fold is trained anew on the others. ``EACH_FOLD``: every
    fold chooses on its own validation split. ``WITHIN_UNIT``: each fold too, and one unit tries
    points in order; the classifier may end early.
    """

    FIRST_FOLD = "first_fold"
    EACH_FOLD = "each_fold"
    WITHIN_UNIT = "within_unit"


class SelectBy(str, Enum):
    """What stops training and selects, on validation: the task's first metric, or the loss."""

    METRIC = "metric"
    LOSS = "loss"


def no_notes(
    task: Task,
    embeddings: Mapping[str, SplitEmbeddings],
    results: Sequence[Sequence[UnitResult]],
) -> list[str]:
    """Return no notes."""
    return []


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How probes are trained and selected.

    Attributes:
        name: as on the command line and in every result row.
        description: one line for lists of protocols.
        kinds: what it can probe: ``multiclass``, ``multilabel`` (scenes), ``event``.
        classifier: what is fitted.
        grid: values by key; the classifier defines the keys.
        standardise: whether columns get mean 0 and variance 1, by the statistics of train.
        shuffle: whether a classifier that trains in epochs draws a new order of the rows for each.
            If not, the rows have the one order in which the original kit stores its embeddings.
        n_points: how many points of the shuffled grid are tried.
        search: where grid points are compared.
        thresholds: event thresholds tried on validation with each post-processing. If there are
            none, the task's post-processing has one (0.5 by default).
        runs: how often each fold is trained, with other seeds; scores are averaged.
        select_by: what stops training and selects, on validation.
        task_overrides: whether a task's own grid, and its wish to select by loss, are obeyed.
        heareval_validation: whether validation is that of heareval 2021.1.3: its values of metrics
            that are undefined in part, and one that is NaN or infinite ends the training of a grid
            point. If not, NaN is no gain and training goes on.
        shots: the number of training clips of each label, drawn anew for each seed
            (:mod:`harness.probe.shots`); None for all clips.
        needs_layers: whether it reads several layers of a model, side by side, instead of one
            embedding.
        metrics: reported instead of those of the task, as far as they are defined on it; the first
            is primary. If there are none, those of the task are reported.
        notes: returns notes on finished units (folds, runs) for the result rows.
    """

    name: str
    description: str
    kinds: tuple[str, ...]
    classifier: Classifier
    grid: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    standardise: bool = True
    shuffle: bool = True
    n_points: int = 1
    search: Search = Search.EACH_FOLD
    runs: int = 1
    thresholds: tuple[float, ...] = ()
    select_by: SelectBy = SelectBy.METRIC
    task_overrides: bool = False
    heareval_validation: bool = False
    shots: int | None = None
    needs_layers: bool = False
    metrics: tuple[str, ...] = ()
    notes: Callable[
        [Task, Mapping[str, SplitEmbeddings], Sequence[Sequence[UnitResult]]], list[str]
    ] = no_notes

    def identity(self) -> dict[str, Any]:
        """Return, as JSON, all that the probes depend on: part of their fingerprints."""
        left_out = {"description", "notes", "heareval_validation", "needs_layers"}
        left_out |= {name for name in ("shots", "metrics") if not getattr(self, name)}
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        # The last key is an older name. Under another one, finished probes would not be found.
        return {key: value for key, value in fields.items() if key not in left_out} | {
            "classifier": self.classifier.name,
            "undefined_score_ends": self.heareval_validation,
        }


def few_shot(protocol: Protocol, shots: int) -> Protocol:
    """Return a protocol that trains on some clips of each label, ``NAME-N-shot``."""
    return dataclasses.replace(
        protocol,
        name=f"{protocol.name}-{shots}-shot",
        description=f"{protocol.description}; {shots} training clips of each label",
        shots=shots,
    )


def name_and_shots(protocol: str) -> tuple[str, int | None]:
    """Return the two parts of the name of a few-shot protocol; None if it is none."""
    found = re.fullmatch(r"(.+)-([1-9]\d{0,8})-shot", protocol)
    return (found[1], int(found[2])) if found else (protocol, None)


def by_shots(protocol: str) -> tuple[str, float]:
    """Return the key by which names of protocols are sorted: all training clips come first."""
    name, shots = name_and_shots(protocol)
    return name, shots or 0


def task_kind(task: Task) -> str:
    """Return ``event``, or the prediction type of a scene task."""
    return EVENT if task.embedding_type == EmbeddingType.EVENT else task.prediction_type.value


def supports(protocol: Protocol, task: Task) -> bool:
    """Return whether the protocol can probe the task: its kind, and that shots leave clips out."""
    if task_kind(task) not in protocol.kinds:
        return False
    return protocol.shots is None or leaves_clips_out(task, protocol.shots)


def scored(protocol: Protocol, task: Task) -> Task:
    """Return the task with the metrics that the protocol reports."""
    if not protocol.metrics:
        return task
    kinds = task.embedding_type, task.prediction_type
    fitting = tuple(name for name in protocol.metrics if find_metric(name).is_for(*kinds))
    return task.model_copy(update={"evaluation": fitting})


def criterion(protocol: Protocol, task: Task) -> tuple[str, bool]:
    """Return what selects, "loss" or a metric, and whether more of it is better."""
    by_task = protocol.task_overrides and not task.use_scoring_for_early_stopping
    if by_task or protocol.select_by == SelectBy.LOSS:
        return "loss", False
    metric = find_metric(task.primary_metric)
    return metric.name, metric.higher_is_better
