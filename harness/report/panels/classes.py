"""The panel of the scores of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.kinds import EmbeddingType
from harness.metrics.metric import AnyMetric
from harness.metrics.registry import find_metric
from harness.metrics.scene_metric import multi_hot
from harness.report.choice import series
from harness.report.figures.classes import LABEL_LETTERS, MOST_CLASSES, classes_figure
from harness.report.figures.names import shorten
from harness.report.panel import Panel, PanelTable, TaskPanel, TaskScope
from harness.report.texts import number
from harness.results.predictions import FoldPredictions
from harness.results.record import Record


def _make(scope: TaskScope) -> Panel:
    """Draw the score of every class for some models; the note names unreadable models."""
    records, first_record = scope.records, scope.some_record
    metric = first_record.evaluation[0]
    numbers = dict(
        zip(records, series(scope.material, scope.protocol, tuple(records)), strict=True)
    )
    unread = []
    values: dict[str, np.ndarray] = {}
    labels: Sequence[str] = ()
    counts: dict[str, int] = {}
    shown = _shown(metric, first_record)
    shown_as = shown.class_score_name
    for model, seeds in records.items():
        try:
            read = [(seed, fold) for seed in seeds for fold in seed.read_predictions()]
            folds = [shown.class_scores(fold, seed.labels) for seed, fold in read]
        except UserError as error:
            unread.append(f"{model}: {error}")
            continue
        stacked = np.stack(folds)
        seen = ~np.isnan(stacked)
        total = np.where(seen, stacked, 0).sum(axis=0)
        values[model] = np.divide(
            total, seen.sum(axis=0), out=np.full(len(total), np.nan), where=seen.any(axis=0)
        )
        labels = seeds[0].labels
        tested = sum(_counts(seed, fold) for seed, fold in read if seed is seeds[0])
        counts = dict(zip(labels, np.asarray(tested).tolist()))
    if not values:
        return Panel("The predictions cannot be read: " + " ".join(unread))
    table = pd.DataFrame(values, index=pd.Index(list(labels), dtype=object))
    table = table.dropna(how="all")
    first = str(table.columns[0])
    table = table.sort_values(first, ascending=False, kind="stable")
    drawn = table
    note = f"One row per class, sorted by the score of {first}."
    if len(table) > MOST_CLASSES:
        half = MOST_CLASSES // 2
        drawn = pd.concat([table.iloc[:half], table.iloc[-half:]])
        note = f"The {half} best and {half} worst of {len(table)} classes, by the score of {first}."
    if len(labels) > len(table):
        absent = plural(len(labels) - len(table), "class has", "classes have")
        note += f" {absent} no score on this test set."
    if unread:
        note += " Left out: " + " ".join(unread)
    unit = "events" if scope.is_event else "clips"
    note += f" In brackets: number of test {unit}."
    drawn = drawn.set_axis(_with_counts(list(map(str, drawn.index)), counts))
    rows = tuple(
        (str(label), *(number(value) for value in row), str(counts[label]))
        for label, row in zip(table.index, table.values)
    )
    looks = [numbers[str(model)] for model in table.columns]
    columns = frozenset(range(1, table.shape[1] + 2))
    header = ("class", *map(str, table.columns), unit)
    return Panel(
        note,
        draw=lambda width: classes_figure(drawn, shown_as, width, looks),
        alt=f"{shown_as} of every class for {', '.join(map(str, table.columns))}.",
        table=PanelTable(f"{shown_as} by class", header, rows, columns),
    )


CLASSES = TaskPanel(
    "classes", "Scores by class", _make, applies_to=lambda scope: bool(scope.records), order=20
)


def _shown(metric: str, record: Record) -> AnyMetric:
    """Return the metric shown for each class: the task's, or mAP if it has a convention."""
    found = find_metric(metric)
    # A convention for clips with several labels does not apply to one class.
    return find_metric("mAP") if found.not_primary(record.prediction_type) else found


def _counts(record: Record, fold: FoldPredictions) -> np.ndarray:
    """Return the number of test clips, or events, of each class (C,) of one fold."""
    if record.embedding_type == EmbeddingType.EVENT:
        found = [e.label for events in (fold.reference or {}).values() for e in events]
        return np.array([found.count(label) for label in record.labels])
    return multi_hot(fold.targets, len(record.labels)).sum(axis=0).astype(int)


def _with_counts(labels: Sequence[str], counts: Mapping[str, int]) -> list[str]:
    behind = [f" ({counts[label]})" for label in labels]
    names = shorten(labels, LABEL_LETTERS - max(map(len, behind), default=0))
    return [name + count for name, count in zip(names, behind)]
