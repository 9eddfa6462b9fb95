"""Compute an evaluation's values and intervals from its test predictions.

Each test fold has one set of probabilities per run. A fold's value is the mean over its runs, and
the task's value (split ``all``) is the mean over folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.core.kinds import PredictionType
from harness.embeddings.store import SplitEmbeddings
from harness.metrics.intervals import ScoreEstimate, estimate
from harness.metrics.metric import AnyMetric
from harness.metrics.registry import find_metric
from harness.metrics.units import group_units
from harness.probe import Protocol
from harness.results.predictions import FoldPredictions, Folds
from tasks.format.task import Task


@dataclass(frozen=True)
class Value:
    """A metric's value on one test fold, or on ``all``, which is the mean over folds.

    ``key`` is the metric's name, with the name of its part (``event_onset_50ms_fms_precision``).
    """

    split: str
    metric: str
    key: str
    value: float
    estimate: ScoreEstimate
    fold_std: float | None = None
    n_test: int = 0
    n_classes: int = 0
    n_classes_scored: int = 0
    unscored: tuple[str, ...] = ()


def depends_on_seed(
    protocol: Protocol,
    task: Task,
    embeddings: Mapping[str, SplitEmbeddings],
    results: Folds,
) -> bool:
    """Return whether another seed gives other probes."""
    if protocol.shots is not None:
        return True
    n_rows = [sum(len(embeddings[s].embeddings) for s in fold.train) for fold in task.folds]
    return any(
        protocol.classifier.is_random(run.params, n)
        for n, runs in zip(n_rows, results, strict=True)
        for run in runs
    )


def evaluate(
    task: Task, folds: Sequence[FoldPredictions], *, is_random: bool = False
) -> list[Value]:
    """Return the values of every metric of the task on every test fold and over all folds.

    Args:
        task: the task.
        folds: its test predictions.
        is_random: whether another training of the probe gives other predictions.
    """
    values = []
    for metric in map(find_metric, task.evaluation):
        scored = [metric.fold(fold) for fold in folds]
        for each in (metric, *metric.parts):
            values += _values(task, metric, each, folds, scored, is_random)
    return values


def _values(
    task: Task,
    metric: AnyMetric,
    part: AnyMetric,
    folds: Sequence[FoldPredictions],
    scored: Sequence[Any],
    is_random: bool,
) -> list[Value]:
    """Return the values of a metric, or of a part of it, on the prepared folds ``scored``."""
    groups, sizes = [fold.groups for fold in folds], [len(fold.clips) for fold in folds]

    def estimated(which: slice) -> ScoreEstimate:
        units = group_units(groups[which], sizes[which])
        return estimate(part, scored[which], units, is_random=is_random)

    by_fold = []
    for number, fold in enumerate(folds):
        runs = part.scores(scored[number])
        unscored = tuple(task.labels[i] for i in runs[0].unscored)
        by_fold.append(
            Value(
                split=fold.split,
                metric=metric.name,
                key=part.name,
                value=float(np.mean([run.value for run in runs])),
                estimate=estimated(slice(number, number + 1)),
                n_test=len(fold.clips),
                n_classes=len(task.labels),
                n_classes_scored=len(task.labels) - len(unscored),
                unscored=unscored,
            )
        )
    total = estimated(slice(None)) if len(folds) > 1 else by_fold[0].estimate
    return _with_total(by_fold, total)


def _with_total(by_fold: list[Value], estimate: ScoreEstimate) -> list[Value]:
    numbers = np.array([value.value for value in by_fold])
    first = by_fold[0]
    total = Value(
        split="all",
        metric=first.metric,
        key=first.key,
        value=float(numbers.mean()),
        estimate=estimate,
        # ddof 1, as in pandas, which the original kit uses
        fold_std=float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        n_test=sum(value.n_test for value in by_fold),
        n_classes=first.n_classes,
        n_classes_scored=min(value.n_classes_scored for value in by_fold),
        unscored=tuple(dict.fromkeys(label for value in by_fold for label in value.unscored)),
    )
    return [*by_fold, total] if len(by_fold) > 1 else [total]


def predicted_scores(
    task: Task,
    folds: Sequence[FoldPredictions],
    results: Folds,
    values: Sequence[Value],
    *,
    maximised: bool,
    embedding_path: str,
) -> dict[str, object]:
    """Return the content of ``test.predicted-scores.json`` as the original kit writes it.

    With several runs per fold, numbers are means over its runs. ``maximised`` is whether the
    criterion that selected the probes was maximised.
    """
    document: dict[str, object] = {}
    per_fold: list[dict[str, float]] = []
    for fold, runs in zip(folds, results, strict=True):
        mine = [v for v in values if v.split in (fold.split, "all" if len(folds) == 1 else "")]
        entry = {"test_loss": _loss(task, fold)}
        entry["test_score"] = mine[0].value
        for value in mine:
            entry[f"test_{value.key}"] = value.value
            name_of_value = find_metric(value.key).value_name
            if name_of_value:
                entry[f"test_{value.key}_{name_of_value}"] = value.value
        entry["validation_score"] = float(np.mean([run.valid_score for run in runs]))
        entry["epoch"] = float(np.mean([run.epoch or 0 for run in runs]))
        entry["time_in_min"] = sum(run.seconds for run in runs) / 60
        document[fold.split] = entry
        per_fold.append(entry)
    if len(per_fold) > 1:
        document["aggregated_scores"] = {
            f"{key}_{name}": float(aggregate([entry[key] for entry in per_fold]))
            for key in per_fold[0]
            for name, aggregate in (("mean", np.mean), ("std", lambda x: np.std(x, ddof=1)))
        }
    first = results[0][0]
    document["hparams"] = {key: _plain(value) for key, value in first.params.items()}
    document["postprocessing"] = [list(p) for p in (first.postprocessing or {}).items()]
    document["score_mode"] = "max" if maximised else "min"
    document["embedding_path"] = embedding_path
    return document


def _loss(task: Task, fold: FoldPredictions) -> float:
    # Cross entropy, averaged over rows and runs; probabilities are clipped at float32's epsilon.
    eps = float(np.finfo(np.float32).eps)
    p = np.clip(fold.probabilities.astype(np.float64), eps, 1 - eps)
    if task.prediction_type == PredictionType.MULTICLASS:
        return float(-np.log(p[:, np.arange(len(fold.targets)), fold.targets]).mean())
    y = fold.targets[None]
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())


def _plain(value: object) -> object:
    return value if isinstance(value, (int, float)) else str(value)
