"""From an evaluation's test predictions to values with intervals.

Each test fold has one set of probabilities a run; a fold's value is the mean over its runs, the
task's value (split ``all``) the mean over folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.embeddings.store import SplitEmbeddings
from harness.metrics import events, scores
from harness.metrics.events import EventCounts
from harness.metrics.intervals import Estimate, event_estimate, scene_estimate
from harness.metrics.jackknife import SceneFold
from harness.metrics.units import Units, group_units
from harness.probe import PROTOCOLS
from harness.results.predictions import FoldPredictions, Folds
from tasks.format.task import Task


@dataclass(frozen=True)
class Value:
    """A metric on one test fold, or on ``all``: the mean over folds.

    ``key`` is the metric's name, or metric and part (``event_onset_50ms_fms_precision``).
    """

    split: str
    metric: str
    key: str
    value: float
    estimate: Estimate
    fold_std: float | None = None
    n_test: int = 0
    n_classes: int = 0
    n_classes_scored: int = 0
    unscored: tuple[str, ...] = ()


def depends_on_seed(
    protocol: str, task: Task, embeddings: Mapping[str, SplitEmbeddings], results: Folds
) -> bool:
    """Return whether another seed would have given other probes.

    A logistic regression on events depends on it only if frames were sampled: small tasks keep all.
    """
    if not PROTOCOLS[protocol].is_random(event=task.embedding_type == "event"):
        return False
    for fold, runs in zip(task.folds, results, strict=True):
        n_frames = sum(len(embeddings[split].embeddings) for split in fold.train)
        for run in runs:
            kept = run.params.get("positive_frames", 0) + run.params.get("negative_frames", 0)
            if kept < n_frames:
                return True
    return False


def evaluate(
    task: Task, folds: Sequence[FoldPredictions], *, is_random: bool = False
) -> list[Value]:
    """Score every metric of the task on every test fold and over all of them.

    Args:
        task: with groups or without.
        folds: its test predictions.
        is_random: whether another training of the probe gives other predictions.
    """
    measure = _scene_values if task.embedding_type == "scene" else _event_values
    values = []
    for metric in task.evaluation:
        values += measure(task, metric, folds, is_random)
    return values


def _units(folds: Sequence[FoldPredictions]) -> Units:
    return group_units([fold.groups for fold in folds], [len(fold.clips) for fold in folds])


def _scene_values(
    task: Task, metric: str, folds: Sequence[FoldPredictions], is_random: bool
) -> list[Value]:
    def estimate(chosen: Sequence[FoldPredictions]) -> Estimate:
        scenes = [SceneFold(fold.probabilities, fold.targets) for fold in chosen]
        return scene_estimate(metric, scenes, _units(chosen), is_random=is_random)

    by_fold = []
    for fold in folds:
        run_scores = [scores.score(metric, p, fold.targets) for p in fold.probabilities]
        by_fold.append(
            Value(
                fold.split,
                metric,
                metric,
                float(np.mean([s.value for s in run_scores])),
                estimate([fold]),
                n_test=len(fold.clips),
                n_classes=run_scores[0].n_classes,
                n_classes_scored=run_scores[0].n_classes_scored,
                unscored=tuple(task.labels[i] for i in run_scores[0].unscored),
            )
        )
    return _with_total(by_fold, estimate(folds) if len(folds) > 1 else by_fold[0].estimate)


def _event_values(
    task: Task, metric: str, folds: Sequence[FoldPredictions], is_random: bool
) -> list[Value]:
    counts: list[list[EventCounts]] = []
    for fold in folds:
        reference = fold.reference or {}
        counts.append([events.event_counts(metric, run, reference) for run in fold.predicted])
    parts = [[events.score_events(metric, run) for run in runs] for runs in counts]
    values: list[Value] = []
    for i, part in enumerate(parts[0][0]):
        by_fold = [
            Value(
                fold.split,
                metric,
                metric if i == 0 else f"{metric}_{part}",
                float(np.mean([run[part] for run in runs])),
                event_estimate(metric, [count], _units([fold]), is_random=is_random, part=part),
                n_test=len(fold.clips),
                n_classes=len(task.labels),
                n_classes_scored=len(task.labels),
            )
            for fold, runs, count in zip(folds, parts, counts, strict=True)
        ]
        total = by_fold[0].estimate
        if len(folds) > 1:
            total = event_estimate(metric, counts, _units(folds), is_random=is_random, part=part)
        values += _with_total(by_fold, total)
    return values


def _with_total(by_fold: list[Value], estimate: Estimate) -> list[Value]:
    numbers = np.array([value.value for value in by_fold])
    first = by_fold[0]
    total = Value(
        "all",
        first.metric,
        first.key,
        float(numbers.mean()),
        estimate,
        # ddof 1: as pandas, and so the original kit, computes it
        float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        sum(value.n_test for value in by_fold),
        first.n_classes,
        min(value.n_classes_scored for value in by_fold),
        tuple(dict.fromkeys(label for value in by_fold for label in value.unscored)),
    )
    return [*by_fold, total] if len(by_fold) > 1 else [total]


def predicted_scores(
    task: Task,
    folds: Sequence[FoldPredictions],
    results: Folds,
    values: Sequence[Value],
    maximised: bool,
    embedding_path: str,
) -> dict[str, object]:
    """Return the content of ``test.predicted-scores.json`` as the original kit writes it.

    With several runs a fold, numbers are means over its runs, as a fold's value is. ``maximised``:
    whether more is better of what selected the probes.
    """
    document: dict[str, object] = {}
    per_fold: list[dict[str, float]] = []
    for fold, runs in zip(folds, results, strict=True):
        mine = [v for v in values if v.split in (fold.split, "all" if len(folds) == 1 else "")]
        entry = {"test_loss": _loss(task, fold)}
        entry["test_score"] = mine[0].value
        for value in mine:
            entry[f"test_{value.key}"] = value.value
            if task.embedding_type == "event" and value.key == value.metric:
                entry[f"test_{value.metric}_{_first_part(value.metric)}"] = value.value
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


def _first_part(metric: str) -> str:
    return "error_rate" if metric.endswith("_er") else "f_measure"


def _loss(task: Task, fold: FoldPredictions) -> float:
    # The mean over runs of the mean cross entropy, from probabilities clipped at float32's epsilon.
    eps = float(np.finfo(np.float32).eps)
    p = np.clip(fold.probabilities.astype(np.float64), eps, 1 - eps)
    if task.prediction_type == "multiclass":
        return float(-np.log(p[:, np.arange(len(fold.targets)), fold.targets]).mean())
    y = fold.targets[None]
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())


def _plain(value: object) -> object:
    return value if isinstance(value, (int, float)) else str(value)
