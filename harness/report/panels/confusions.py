"""The panel of a multiclass task's confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.report.figures.classes import MOST_CLASSES, confusion_figure
from harness.report.panel import ModelPanel, ModelScope, Panel, PanelTable
from harness.report.texts import number

OTHER = "all others"


def _make(scope: ModelScope) -> Panel:
    """Draw the confusion matrix over all folds, runs and seeds of a multiclass task."""
    records = scope.records
    labels = records[0].labels
    counts = np.zeros((len(labels), len(labels)))
    for record in records:
        for fold in record.read_predictions():
            for run in fold.probabilities:
                np.add.at(counts, (fold.targets, run.argmax(axis=1)), 1 / len(fold.probabilities))
    counts /= len(records)
    drawn, names = _most_confused(counts, labels)
    shares = _shares(drawn)
    note = "Rows are true classes, columns predicted classes. Numbers: percent of the row's clips."
    if len(names) > 12:
        note = (
            "Rows are true classes, columns predicted classes. A darker colour is a larger share."
        )
    if len(names) < len(labels):
        note += f" The {len(names) - 1} of {len(labels)} classes with most mistakes are shown."
    recalls = np.diag(_shares(counts))
    present = counts.sum(axis=1) > 0
    worst = labels[int(np.where(present, recalls, np.inf).argmin())]
    return Panel(
        note,
        draw=lambda width: confusion_figure(shares, names, width),
        alt=f"Confusion matrix of {scope.model}; the class with the lowest recall is {worst}.",
        table=_recall_table(counts, labels),
    )


CONFUSIONS = ModelPanel(
    "confusion", "Confusions", _make, applies_to=lambda scope: scope.is_multiclass, order=10
)


def _most_confused(counts: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return the counts of the classes with most mistakes; the last class is all others."""
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


def _recall_table(counts: np.ndarray, labels: Sequence[str]) -> PanelTable:
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
    header = ("class", "clips", "correct, %", "most often confused with")
    return PanelTable("Recall of every class", header, tuple(rows), frozenset({1, 2}))
