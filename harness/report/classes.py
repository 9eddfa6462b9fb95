"""Panels of a task's classes: what is taken for what, and the score of each class."""

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
from harness.report.figures.classes import (
    LABEL_LETTERS,
    MOST_CLASSES,
    classes_figure,
    confusion_figure,
)
from harness.report.figures.names import shorten
from harness.report.panel import Panel, Sheet, number
from harness.results.predictions import FoldPredictions
from harness.results.record import Record

OTHER = "all others"


def confusion_panel(model: str, records: Sequence[Record]) -> Panel:
    """Draw what a model takes for what, over all folds, runs and seeds of a multiclass task.

    Raises:
        UserError: predictions are missing or damaged.
    """
    labels = records[0].labels
    counts = np.zeros((len(labels), len(labels)))
    for record in records:
        for fold in record.read_predictions():
            for run in fold.probabilities:
                np.add.at(counts, (fold.targets, run.argmax(axis=1)), 1 / len(fold.probabilities))
    counts /= len(records)
    drawn, names = _most_confused(counts, labels)
    shares = _shares(drawn)
    note = "A row is a true class; the deeper the colour, the larger its share (numbers: percent)."
    if len(names) > 12:
        note = "A row is a true class; the deeper the colour, the larger its share."
    if len(names) < len(labels):
        note += f" Shown are the {len(names) - 1} of {len(labels)} classes with most mistakes."
    recalls = np.diag(_shares(counts))
    present = counts.sum(axis=1) > 0
    worst = labels[int(np.where(present, recalls, np.inf).argmin())]
    return Panel(
        "confusion",
        "Confusions",
        note,
        model=model,
        draw=lambda width: confusion_figure(shares, names, width),
        alt=f"Confusion matrix of {model}; the class that is recognised least is {worst}.",
        sheet=_recall_sheet(counts, labels),
    )


def _most_confused(counts: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Counts of the classes with most mistakes, the others put together in a last one."""
    if len(labels) <= MOST_CLASSES:
        return counts, list(labels)
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    kept = np.sort(np.argsort(-wrong, kind="stable")[: MOST_CLASSES - 1])
    group = np.full(len(labels), len(kept))
    group[kept] = np.arange(len(kept))
    gathered = np.zeros((len(kept) + 1, len(kept) + 1))
    np.add.at(gathered, (group[:, None], group[None, :]), counts)
    return gathered, [*(labels[k] for k in kept), OTHER]


def _shares(counts: np.ndarray) -> np.ndarray:
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)


def _recall_sheet(counts: np.ndarray, labels: Sequence[str]) -> Sheet:
    wrong = counts * (1 - np.eye(len(labels)))
    shares = _shares(counts)
    rows = []
    for place, label in enumerate(labels):
        total = counts[place].sum()
        taken = int(wrong[place].argmax())
        rows.append(
            (
                label,
                f"{total:.0f}",
                number(100 * shares[place, place], 0) if total else "–",
                f"{labels[taken]} ({100 * shares[place, taken]:.0f} %)"
                if wrong[place, taken] > 0
                else "–",
            )
        )
    header = ("class", "clips", "right, %", "most often taken for")
    return Sheet("Recall of every class", header, tuple(rows), frozenset({1, 2}))


def classes_panel(
    metric: str, records: Mapping[str, Sequence[Record]], series: Sequence[int] = ()
) -> Panel:
    """Draw the score of every class for some models; one that cannot be read is named.

    Args:
        metric: the task's primary metric.
        records: of each model; all of one task.
        series: numbers of the models' colours and markers; their places if empty.
    """
    numbers = dict(zip(records, series or range(len(records)), strict=True))
    unread = []
    values: dict[str, np.ndarray] = {}
    labels: Sequence[str] = ()
    counts: dict[str, int] = {}
    first_record = next(iter(records.values()))[0]
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
    name = "Scores by class"
    if not values:
        return Panel("classes", name, "No predictions can be read: " + " ".join(unread))
    table = pd.DataFrame(values, index=pd.Index(list(labels), dtype=object))
    table = table.dropna(how="all")
    first = str(table.columns[0])
    table = table.sort_values(first, ascending=False, kind="stable")
    drawn = table
    note = f"A row a class, ordered by {first}."
    if len(table) > MOST_CLASSES:
        half = MOST_CLASSES // 2
        drawn = pd.concat([table.iloc[:half], table.iloc[-half:]])
        note = f"The {half} best and the {half} worst of {len(table)} classes, by {first}."
    if len(labels) > len(table):
        absent = plural(len(labels) - len(table), "class is", "classes are")
        note += f" {absent} not defined on this test set."
    if unread:
        note += " Left out: " + " ".join(unread)
    unit = "events" if first_record.embedding_type == EmbeddingType.EVENT else "clips"
    note += f" In brackets: test {unit}."
    drawn = drawn.set_axis(_with_counts(list(map(str, drawn.index)), counts))
    rows = tuple(
        (str(label), *(number(value) for value in row), str(counts[label]))
        for label, row in zip(table.index, table.values)
    )
    looks = [numbers[str(model)] for model in table.columns]
    columns = frozenset(range(1, table.shape[1] + 2))
    header = ("class", *map(str, table.columns), unit)
    return Panel(
        "classes",
        name,
        note,
        draw=lambda width: classes_figure(drawn, shown_as, width, looks),
        alt=f"{shown_as} of every class for {', '.join(map(str, table.columns))}.",
        sheet=Sheet(f"{shown_as} by class", header, rows, columns),
    )


def _shown(metric: str, record: Record) -> AnyMetric:
    """The metric that is shown of single classes: the task's, where it suits the task's kind."""
    found = find_metric(metric)
    # A convention about clips with several labels says nothing of a class.
    return find_metric("mAP") if found.not_primary(record.prediction_type) else found


def _counts(record: Record, fold: FoldPredictions) -> np.ndarray:
    """On how many test clips, or events, the scores (C,) of one fold stand."""
    if record.embedding_type == EmbeddingType.EVENT:
        found = [e.label for events in (fold.reference or {}).values() for e in events]
        return np.array([found.count(label) for label in record.labels])
    return multi_hot(fold.targets, len(record.labels)).sum(axis=0).astype(int)


def _with_counts(labels: Sequence[str], counts: Mapping[str, int]) -> list[str]:
    behind = [f" ({counts[label]})" for label in labels]
    names = shorten(labels, LABEL_LETTERS - max(map(len, behind), default=0))
    return [name + count for name, count in zip(names, behind)]
