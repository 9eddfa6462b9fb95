"""The panel of embeddings in two dimensions, by principal components."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import linalg

from harness.core.errors import UserError
from harness.core.kinds import EmbeddingType
from harness.report.figures.scatter import MOST_LABELS, map_figure
from harness.report.panel import Panel, PanelTable, TaskPanel, TaskScope
from harness.results.record import Record

MOST_POINTS = 2000
"""Largest number of points in all panels. Of more, a random subset is drawn, the same for every
model."""
_SEVERAL = "several"
_NONE = "none"


def _make(scope: TaskScope) -> Panel:
    """Draw the test embeddings of some models, coloured by their label.

    The note names the models whose embeddings cannot be read.
    """
    records = scope.records
    unread: list[str] = []
    points, labels, explained, total = {}, {}, {}, 0
    most = MOST_POINTS // len(records)
    for model, seeds in records.items():
        try:
            rows, names = _embedded(seeds[0])
        except UserError as error:
            unread.append(f"{model}: {error}")
            continue
        total = len(rows)
        kept = np.sort(np.random.default_rng(0).permutation(total)[:most])
        points[model], explained[model] = principal_components(np.asarray(rows[kept], np.float64))
        labels[model] = [names[place] for place in kept]
    if not points:
        return Panel("The embeddings cannot be read: " + " ".join(unread))
    counted = Counter(name for names in labels.values() for name in names)
    order = {label: place for place, label in enumerate(scope.some_record.labels)}
    known = [label for label in counted if label in order]
    known.sort(key=lambda label: (-counted[label], order[label]))
    shown, others = known[:MOST_LABELS], known[MOST_LABELS:]
    tied = bool(others) and counted[others[0]] == counted[shown[-1]]
    shown.sort(key=lambda label: order[label])
    unit = "frames with a label" if scope.is_event else "clips"
    drawn = min(total, most)
    note = (
        f"{'All' if drawn == total else f'{drawn:,} of'} {total:,} test {unit}, projected on the "
        "first two principal components of the standardised embeddings."
    )
    if others:
        first = " (ties: the first in the vocabulary)" if tied else ""
        note += f" Colours mark the {len(shown)} most frequent of {len(known)} labels{first}."
    if set(counted) & {_SEVERAL, _NONE}:
        note += (
            " Grey: other labels, several labels at once, or none."
            if others
            else " Grey: several labels at once, or none."
        )
    if unread:
        note += " Left out: " + " ".join(unread)
    lines = tuple((model, f"{100 * share:.0f}") for model, share in explained.items())
    header = ("model", "explained variance, %")
    return Panel(
        note,
        draw=lambda width: map_figure(points, labels, shown, width),
        alt=f"Scatter of test embeddings of {', '.join(points)}, coloured by label.",
        table=PanelTable("Explained variance", header, lines, frozenset({1})),
    )


MAP = TaskPanel(
    "map", "Map of embeddings", _make, applies_to=lambda scope: bool(scope.records), order=30
)


def principal_components(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Project standardised rows (n, d) on their first two principal components.

    Constant columns are left out. The sign of each component makes its largest coordinate positive,
    so equal embeddings give equal maps.

    Returns:
        Points (n, 2), and the share of the variance that they explain, from 0 to 1.
    """
    spread = rows.std(axis=0)
    varying = spread > 1e-12
    standard = (rows[:, varying] - rows[:, varying].mean(axis=0)) / spread[varying]
    points = np.zeros((len(rows), 2))
    if not standard.size:
        return points, 0.0
    # Both products have the same leading eigenvalues; the smaller one takes less time.
    wide = standard.shape[1] > len(standard)
    product = standard @ standard.T if wide else standard.T @ standard
    size = len(product)
    values, vectors = linalg.eigh(product, subset_by_index=(max(0, size - 2), size - 1))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    points[:, : len(values)] = vectors * np.sqrt(values) if wide else standard @ vectors
    largest = np.abs(points).argmax(axis=0)
    points *= np.where(points[largest, [0, 1]] < 0, -1.0, 1.0)
    return points, float(values.sum() / np.trace(product))


def _embedded(record: Record) -> tuple[np.ndarray, list[str]]:
    """Return the test embeddings of all folds, and the name of each row's label."""
    rows: list[np.ndarray] = []
    names: list[str] = []
    width = 0
    for fold in record.read_predictions():
        embedded = record.read_embeddings(fold.split)
        shape = embedded.embeddings.shape
        if len(shape) != 2 or shape[0] != len(fold.targets) or (rows and shape[1] != width):
            raise UserError(
                f"the embeddings in {record.embeddings[fold.split]} do not belong to the "
                "predictions."
            )
        width = shape[1]
        if record.embedding_type == EmbeddingType.EVENT:
            active = np.flatnonzero(np.asarray(fold.targets).sum(axis=1) > 0)
        else:
            active = np.arange(len(fold.targets))
        rows.append(np.asarray(embedded.embeddings[active], dtype=np.float32))
        names += [_label(fold.targets[place], record.labels) for place in active]
    return np.concatenate(rows), names


def _label(target: np.ndarray, labels: Sequence[str]) -> str:
    if np.ndim(target) == 0:
        return labels[int(target)]
    present = np.flatnonzero(target)
    return labels[present[0]] if len(present) == 1 else _SEVERAL if len(present) else _NONE
