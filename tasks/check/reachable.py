"""Find events that even perfect frame predictions cannot reproduce, and the score this costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from harness.core.counts import first_of
from harness.metrics.event_metric import EventMetric
from harness.metrics.events import Frames, best_postprocessing, frame_targets, postprocessing_grid
from harness.metrics.registry import METRICS
from tasks.check.finding import Finding, clips, warning
from tasks.format.directory import Contents
from tasks.format.files import METADATA
from tasks.format.tables import Clip, Event
from tasks.format.task import folds_of

HOP_MS = 50.0
"""Hop of the perfect frame predictions: the longest that HEAR recommends for timestamps."""

_NEARLY = 0.95  # most tasks of real recordings lose a few short events, also without overlaps
_AFTER_MS = 1000.0  # length of the frames after the last event, if a clip's length is unknown
_SHOWN = 3


def check_overlaps(contents: Contents) -> Iterator[Finding]:
    """Yield warnings for events of one label that overlap or touch; frame targets merge them."""
    for split, listed in contents.clips.items():
        merged = {clip.name: pairs for clip in listed if clip.events and (pairs := _overlaps(clip))}
        if not merged:
            continue
        shown = [
            f"'{one.label}' in '{name}', {one.start:g} to {one.end:g} and {other.start:g} to "
            f"{other.end:g} ms"
            for name, pairs in merged.items()
            for one, other in pairs
        ]
        yield warning(
            f"{split}.json",
            f"{clips(list(merged))}: events of one label overlap or touch "
            f"({'; '.join(first_of(shown, _SHOWN))}). "
            "Frame-wise predictions cannot separate them and give one event: merge them.",
        )


def check_reachable(contents: Contents) -> Iterator[Finding]:
    """Yield a warning if perfect frame predictions do not reach a perfect score.

    The post-processing is the best of the task's grid for each test split, so no frame-wise model
    with a longer hop scores better.
    """
    fields = contents.fields
    if not {"evaluation", "split_mode", "splits"} <= fields.keys() or not contents.labels:
        return
    metric = METRICS.get(fields["evaluation"][0])
    known = set(contents.labels)
    tests = [fold.test for fold in folds_of(fields["split_mode"], fields["splits"])]
    sound = all(
        event.label in known and 0 <= event.start <= event.end
        for split in tests
        for clip in contents.clips.get(split, ())
        for event in clip.events
    )
    if not isinstance(metric, EventMetric) or not sound:
        return
    if not all(contents.clips.get(test) for test in tests):
        return
    best = float(np.mean([_best(contents, metric, contents.clips[split]) for split in tests]))
    higher = metric.higher_is_better
    overlapping = any(_overlaps(clip) for split in tests for clip in contents.clips[split])
    limit = 1.0 if overlapping else _NEARLY
    if (best if higher else 1 - best) >= limit:
        return
    yield warning(
        METADATA,
        f"the best reachable {metric.name} is {best:.3f}, not {1 if higher else 0}: perfect "
        f"predictions every {HOP_MS:g} ms reach this value after the best post-processing. It "
        "loses events that are shorter than the minimum duration, and events that overlap or touch "
        "an event of their label, or are nearer to it than half the median filter.",
    )


def _overlaps(clip: Clip) -> list[tuple[Event, Event]]:
    """Return pairs of different events of one label that overlap or touch."""
    by_label: dict[str, list[Event]] = defaultdict(list)
    for event in dict.fromkeys(clip.events):
        by_label[event.label].append(event)
    found = []
    for events in by_label.values():
        events.sort(key=lambda event: (event.start, event.end))
        lasting = events[0]  # the event with the latest end so far
        for event in events[1:]:
            if event.start <= lasting.end:
                found.append((lasting, event))
            lasting = max(lasting, event, key=lambda each: each.end)
    return found


def _best(contents: Contents, metric: EventMetric, listed: Sequence[Clip]) -> float:
    duration = contents.fields.get("sample_duration")
    reference = {clip.name: clip.events for clip in listed}
    times, targets = [], []
    for clip in listed:
        last = max((event.end for event in clip.events), default=0.0)
        end = max(last, 1000 * duration) if duration else last + _AFTER_MS
        times.append(np.arange(0.0, end + HOP_MS, HOP_MS))
        targets.append(frame_targets(times[-1], clip.events, contents.labels))
    offsets = np.cumsum([0, *map(len, times)])
    _, value = best_postprocessing(
        metric,
        np.concatenate(targets),
        Frames(np.concatenate(times), offsets, list(reference)),
        reference=reference,
        grid=postprocessing_grid(contents.fields.get("event_postprocessing_grid")),
        labels=contents.labels,
    )
    return value
