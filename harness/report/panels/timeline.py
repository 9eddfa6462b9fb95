"""The panel of an event task: truth and prediction of one recording over its spectrogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.metrics.registry import event_metric
from harness.report.figures.timeline import timeline_figure
from harness.report.panel import ModelPanel, ModelScope, Panel, PanelTable
from harness.report.sounds import recording
from harness.results.record import Record
from tasks.audio import decode
from tasks.format.task import Event

_WINDOW_MS = 20_000.0  # shown at most
_MOST_LABELS = 40


def _make(scope: ModelScope) -> Panel:
    """Draw the test recording whose score is nearest to the median."""
    record, metric = scope.records[0], scope.metric
    split, clip, truth, predicted = _typical(record, metric)
    ends = [event.end for event in (*truth, *predicted)]
    begin = max(0.0, min((event.start for event in truth), default=0.0) - 500.0)
    end = min(max(ends, default=1000.0) + 250.0, begin + _WINDOW_MS)
    note = f"{clip}: the recording whose {metric} is nearest to the median."
    audio, rate = None, 0
    try:
        path = recording(record, split, clip)
        audio, info = decode(path)
        rate = info.rate
        end = min(max(end, info.seconds * 1e3), begin + _WINDOW_MS)
        if info.seconds * 1e3 <= _WINDOW_MS:
            begin, end = 0.0, info.seconds * 1e3
    except UserError as error:
        note += f" The spectrogram is missing: {error}"
    if end - begin >= _WINDOW_MS:
        note += f" Shown: {begin / 1e3:.1f} to {end / 1e3:.1f} s."
    inside = [e for e in (*truth, *predicted) if e.end >= begin and e.start <= end]
    labels = [label for label in record.labels if label in {e.label for e in inside}]
    if len(labels) > _MOST_LABELS:
        note += f" Shown: {_MOST_LABELS} of {len(labels)} labels."
        labels = labels[:_MOST_LABELS]
    listed = sorted(
        [("truth", event) for event in truth] + [("prediction", event) for event in predicted],
        key=lambda each: (each[1].start, each[0]),
    )
    rows = tuple(
        (kind, event.label, f"{event.start / 1e3:.2f}", f"{event.end / 1e3:.2f}")
        for kind, event in listed
    )
    return Panel(
        note,
        draw=lambda width: timeline_figure(
            truth, predicted, labels, begin=begin, end=end, width=width, audio=audio, rate=rate
        ),
        alt=f"{plural(len(truth), 'true event')} and {plural(len(predicted), 'predicted event')} "
        f"of {clip} over time.",
        table=PanelTable(
            f"Events of {clip}", ("events", "label", "from s", "to s"), rows, frozenset({2, 3})
        ),
        player=scope.sounds.player(record, split, clip),
    )


TIMELINE = ModelPanel(
    "timeline",
    "Truth and prediction",
    _make,
    applies_to=lambda scope: scope.is_event,
    order=10,
)


def _typical(record: Record, metric: str) -> tuple[str, str, list[Event], list[Event]]:
    """Return split, clip, true and predicted events of the recording with the median score."""
    scored: list[tuple[float, tuple[str, str, list[Event], list[Event]]]] = []
    found = event_metric(metric)
    for fold in record.read_predictions():
        truth: Mapping[str, Sequence[Event]] = fold.reference or {}
        predicted = fold.predicted[0]
        counts = found.count(predicted, truth)
        for clip, row in zip(counts.files, counts.counts, strict=True):
            if truth.get(clip):
                events = (fold.split, clip, list(truth[clip]), list(predicted.get(clip, ())))
                scored.append((float(found.values(row)), events))
    if not scored:
        raise UserError("no test recording has events.")
    values = np.array([value for value, _ in scored])
    return scored[int(np.abs(values - np.nanmedian(values)).argmin())][1]
