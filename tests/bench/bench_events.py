"""Scoring of events: ours beside sed_eval's EventBasedMetrics.

Onset F measure (200 ms) of files of 30 s with 40 events of 10 labels each; the predictions are
moved by up to 400 ms. Both sides give the same value. sed_eval comes with the extra
``events-oracle``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sides import Row, alternate

from harness.metrics.event_metric import Event
from harness.metrics.registry import event_metric

METRIC = "event_onset_200ms_fms"
EVENTS, CLASSES, SECONDS = 40, 10, 30


def rows(repeats: int, tiny: bool) -> Iterator[Row]:
    """Compare the two at two numbers of files."""
    for files in (2,) if tiny else (10, 50):
        yield measured(files, repeats)


def measured(files: int, repeats: int) -> Row:
    """Compare the two on some files."""
    from dcase_util.containers import MetaDataContainer
    from sed_eval.sound_event import EventBasedMetrics

    draw = np.random.default_rng(0)
    labels = [f"label {i}" for i in range(CLASSES)]
    reference: dict[str, list[Event]] = {}
    predicted: dict[str, list[Event]] = {}
    for i in range(files):
        starts = draw.uniform(0, 1000 * (SECONDS - 2), EVENTS)
        classes = draw.integers(0, CLASSES, EVENTS)
        moved = np.maximum(starts + draw.uniform(-400, 400, EVENTS), 0)
        for events, begins in ((reference, starts), (predicted, moved)):
            events[f"{i}.wav"] = [
                Event(labels[c], float(s), float(s + 500))
                for c, s in zip(classes, begins, strict=True)
            ]

    def ours() -> float:
        metric = event_metric(METRIC)
        totals = metric.count(predicted, reference).counts.sum(axis=0)
        return float(metric.values(totals, original=True))

    def container(events: list[Event], file: str) -> MetaDataContainer:
        return MetaDataContainer(
            [
                {
                    "event_label": event.label,
                    "event_onset": event.start / 1000,
                    "event_offset": event.end / 1000,
                    "file": file,
                }
                for event in events
            ]
        )

    def theirs() -> float:
        metrics = EventBasedMetrics(labels, evaluate_offset=False, t_collar=0.2)
        for file in reference:
            metrics.evaluate(container(reference[file], file), container(predicted[file], file))
        return float(metrics.results_overall_metrics()["f_measure"]["f_measure"])

    assert abs(ours() - theirs()) < 1e-9, (ours(), theirs())
    name = f"event scores, {files} files of {EVENTS} events"
    return alternate(name, "sed_eval", ours, theirs, repeats)
