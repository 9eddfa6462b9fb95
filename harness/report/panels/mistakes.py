"""The panel of a model's worst mistakes, with players."""

from __future__ import annotations

import numpy as np

from harness.core.counts import plural
from harness.core.kinds import PredictionType
from harness.metrics.registry import event_metric
from harness.report.material import mean_probabilities
from harness.report.panel import ModelPanel, ModelScope, Panel, PanelTable
from harness.report.sounds import Player

MOST_CLIPS = 5
_HEADERS = {
    PredictionType.MULTICLASS: ("clip", "listen", "true", "predicted"),
    PredictionType.MULTILABEL: (
        "clip",
        "listen",
        "least probable true label",
        "most probable false label",
    ),
}
_NOTES = {
    PredictionType.MULTICLASS: "Wrong clips with the largest gap between predicted and true class.",
    PredictionType.MULTILABEL: "Clips with the largest gap between a false and a true label.",
}


def _make(scope: ModelScope) -> Panel:
    """List the test clips on which a model errs most, with players."""
    return _event_mistakes(scope) if scope.is_event else _clip_mistakes(scope)


MISTAKES = ModelPanel("mistakes", "Worst mistakes", _make, order=30)


def _clip_mistakes(scope: ModelScope) -> Panel:
    records, record = scope.records, scope.records[0]
    kind = record.prediction_type
    found = []
    for split, clips, probabilities, targets in mean_probabilities(records):
        gaps = _gaps if kind == PredictionType.MULTICLASS else _label_gaps
        true, wrong, gap = gaps(probabilities, targets)
        found += [
            (float(gap[i]), split, clips[i], probabilities[i], int(true[i]), int(wrong[i]))
            for i in np.flatnonzero(gap > 0)
        ]
    found.sort(key=lambda each: (-each[0], each[1], each[2]))
    labels = record.labels
    rows = tuple(
        (
            clip,
            scope.sounds.player(record, split, clip),
            f"{labels[true]} ({row[true]:.2f})" if true >= 0 else "no label",
            f"{labels[wrong]} ({row[wrong]:.2f})",
        )
        for _, split, clip, row, true, wrong in found[:MOST_CLIPS]
    )
    if not rows:
        return Panel("No test clip is wrong.")
    note = f"{_NOTES[kind]} Numbers: probability, mean over all runs of the probe."
    # A kNN classifier has few different probabilities, so that many clips tie.
    left_out = sum(each[0] == found[MOST_CLIPS - 1][0] for each in found[MOST_CLIPS:])
    if left_out:
        note += f" Not shown: {plural(left_out, 'clip')} as wrong as the last (in order of names)."
    table = PanelTable(f"The worst mistakes of {scope.model}", _HEADERS[kind], rows)
    return Panel(note, table=table, shown=True)


def _gaps(p: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true class, predicted class, and the difference of their probabilities: (n,) each."""
    every = np.arange(len(p))
    predicted = p.argmax(axis=1)
    gap = p[every, predicted] - p[every, targets]
    # Of equal probabilities the first class is predicted: a mistake with a gap of 0.
    gap = np.where(predicted == targets, 0.0, np.maximum(gap, 1e-12))
    return targets, predicted, gap


def _label_gaps(p: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the least probable true label (-1: none), the most probable false one, and the gap."""
    present = targets > 0
    lowest = np.where(present, p, np.inf).argmin(axis=1)
    highest = np.where(present, -np.inf, p).argmax(axis=1)
    every = np.arange(len(p))
    some = present.any(axis=1)
    gap = p[every, highest] - np.where(some, p[every, lowest], 0.0)
    return np.where(some, lowest, -1), highest, np.where(present.all(axis=1), 0.0, gap)


def _event_mistakes(scope: ModelScope) -> Panel:
    """List the recordings with the most mistakes by the metric, means over runs and seeds."""
    records = scope.records
    wrong: dict[tuple[str, str], np.ndarray] = {}
    counted = event_metric(scope.metric)
    names = counted.columns
    n_runs = 0
    for record in records:
        for fold in record.read_predictions():
            for run in fold.predicted:
                counts = counted.count(run, fold.reference or {})
                for clip, row in zip(counts.files, counts.counts, strict=True):
                    wrong[fold.split, clip] = wrong.get((fold.split, clip), 0) + row
        n_runs += len(fold.predicted)
    errors = [place for place, name in enumerate(names) if name in counted.mistakes]
    ordered = sorted(wrong, key=lambda key: (-wrong[key][errors].sum(), key))
    shown = [key for key in ordered[:MOST_CLIPS] if wrong[key][errors].sum() > 0]
    if not shown:
        return Panel("No test recording has a mistake.")
    rows: tuple[tuple[str | Player, ...], ...] = tuple(
        (
            clip,
            scope.sounds.player(records[0], split, clip),
            *(f"{wrong[split, clip][place] / n_runs:.3g}" for place in range(len(names))),
        )
        for split, clip in shown
    )
    header = ("recording", "listen", *(_COUNTED.get(name, name) for name in names))
    numbers = frozenset(range(2, len(names) + 2))
    return Panel(
        f"Test recordings with the most mistakes, as {scope.metric} counts them.",
        table=PanelTable(f"The worst recordings of {scope.model}", header, rows, numbers),
        shown=True,
    )


_COUNTED = {
    "true_positives": "found",
    "false_positives": "false alarms",
    "misses": "missed",
    "reference_segments": "of segments",
}
