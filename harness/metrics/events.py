"""Conversion between frames and events, and the choice of the post-processing of probabilities."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.errors import UserError, did_you_mean
from harness.metrics.event_metric import (
    Event,
    EventMetric,
    EventTable,
    event_table,
    number_files,
)

# An event still covers a timestamp this many ms after its end (HEAR's target rule).
_END_SLACK_MS = 0.0001
# HEAR's grid for a task without its own (the one for DCASE 2016), and the defaults of its
# post-processing for parameters that a task's grid omits.
_DEFAULT_GRID: Mapping[str, tuple[float, ...]] = {
    "median_filter_ms": (250.0,),
    "min_duration": (125.0, 250.0),
}
_LEFT_OUT: Mapping[str, tuple[float, ...]] = {
    "median_filter_ms": (150.0,),
    "min_duration": (60.0,),
    "threshold": (0.5,),
}


@dataclass(frozen=True, order=True)
class Postprocessing:
    """How frame probabilities become events.

    The order of the fields is the order in which equally good settings are compared.

    Attributes:
        median_filter_ms: width of the median filter over time in ms; 0 for none.
        min_duration: length in ms below which events are dropped.
        threshold: a frame is active above this probability.
    """

    median_filter_ms: float = 250.0
    min_duration: float = 125.0
    threshold: float = 0.5


@dataclass(frozen=True)
class Frames:
    """The frames of many clips, one clip after the other.

    Attributes:
        timestamps: (rows,) ms, rising within a clip.
        offsets: (n_clips + 1,), clip i has the rows offsets[i]:offsets[i + 1].
        clips: their names.
    """

    timestamps: np.ndarray
    offsets: np.ndarray
    clips: Sequence[str]


def frame_targets(
    timestamps: np.ndarray, events: Sequence[Event], labels: Sequence[str]
) -> np.ndarray:
    """Return the targets of one clip's timestamps: 1 where ``start <= t < end + 0.0001``.

    Args:
        timestamps: (t,) ms, rising.
        events: of the clip, ms.
        labels: the vocabulary.

    Returns:
        float32 (t, C).

    Raises:
        UserError: the vocabulary lacks an event's label.
    """
    column = {label: c for c, label in enumerate(labels)}
    targets = np.zeros((len(timestamps), len(labels)), dtype=np.float32)
    first = np.searchsorted(timestamps, [event.start for event in events], side="left")
    last = np.searchsorted(timestamps, [event.end + _END_SLACK_MS for event in events], side="left")
    for event, begin, end in zip(events, first, last, strict=True):
        if event.label not in column:
            raise UserError(
                f"An event at {event.start} ms has the label '{event.label}', which the "
                f"vocabulary lacks.{did_you_mean(event.label, labels)}"
            )
        targets[begin:end, column[event.label]] = 1.0
    return targets


def frames_to_events(
    probabilities: np.ndarray,
    timestamps: np.ndarray,
    labels: Sequence[str],
    postprocessing: Postprocessing,
) -> list[Event]:
    """Turn one clip's frame probabilities into events, in order of their start.

    The steps are a median filter over time (width in frames: ``median_filter_ms`` over the mean
    step, rounded half to even; edges reflected) and a threshold. Each run of active frames is an
    event from its first to its last timestamp if it lasts ``min_duration`` or more. A clip of one
    timestamp is not filtered.

    Args:
        probabilities: (t, C) in [0, 1].
        timestamps: (t,) ms, rising.
        labels: the vocabulary, C names.
        postprocessing: the setting.
    """
    frames = Frames(timestamps, np.array([0, len(timestamps)]), ("",))
    runs = _runs(probabilities, frames, postprocessing)
    table = _long_enough(runs, postprocessing.min_duration)
    return [
        Event(labels[table.label[i]], float(table.start[i]), float(table.end[i]))
        for i in np.argsort(table.start, kind="stable")
    ]


def postprocessing_grid(grid: Mapping[str, tuple[float, ...]] | None) -> list[Postprocessing]:
    """Return the settings to try on validation: those of a task's own grid, else HEAR's.

    Parameters that a task's grid omits have the defaults of the original kit: median filter
    150 ms, minimum duration 60 ms, threshold 0.5.
    """
    if grid is None:
        grid = _DEFAULT_GRID
    full = {**_LEFT_OUT, **grid}
    return [
        Postprocessing(*(float(value) for value in point))
        for point in itertools.product(*(full[key] for key in _LEFT_OUT))
    ]


def best_postprocessing(
    metric: EventMetric,
    probabilities: np.ndarray,
    frames: Frames,
    *,
    reference: Mapping[str, Sequence[Event]],
    grid: Sequence[Postprocessing],
    labels: Sequence[str],
    original: bool = False,
) -> tuple[Postprocessing, float]:
    """Choose the setting with the best value of ``metric`` over all clips.

    An undefined value counts as the worst. Of equally good settings the largest is chosen, compared
    by median filter, minimum duration, threshold, as in the original kit. An error rate is
    minimised, which the original kit does not do.

    Args:
        metric: the score.
        probabilities: (rows, C), one row for each frame.
        frames: the frames of all clips.
        reference: clip name -> events.
        grid: the settings to try, at least one.
        labels: the vocabulary, C names.
        original: return sed_eval's value, as :meth:`EventMetric.values`; the choice is the same.

    Returns:
        The setting and its value.
    """
    files = number_files(frames.clips, reference)
    true_events = event_table(reference, files, {label: c for c, label in enumerate(labels)})
    sign = 1.0 if metric.higher_is_better else -1.0
    candidates = []
    for setting, table in _tables(probabilities, frames, grid):
        totals = metric.count_tables(table, true_events, len(files)).sum(axis=0)
        goodness = sign * float(metric.values(totals))
        if np.isnan(goodness):
            goodness = -np.inf
        value = float(metric.values(totals, original=original))
        candidates.append((goodness, setting, value))
    _, setting, value = max(candidates, key=lambda candidate: candidate[:2])
    return setting, value


def _tables(
    probabilities: np.ndarray, frames: Frames, grid: Sequence[Postprocessing]
) -> Iterator[tuple[Postprocessing, EventTable]]:
    """Yield each setting's events. Settings that differ only in minimum duration share runs."""

    of_frames = operator.attrgetter("median_filter_ms", "threshold")
    for _, settings in itertools.groupby(sorted(grid, key=of_frames), key=of_frames):
        sharing = list(settings)
        runs = _runs(probabilities, frames, sharing[0])
        for setting in sharing:
            yield setting, _long_enough(runs, setting.min_duration)


def _long_enough(runs: EventTable, min_duration: float) -> EventTable:
    keep = runs.end - runs.start >= min_duration
    return EventTable(runs.file[keep], runs.label[keep], runs.start[keep], runs.end[keep])


def _runs(probabilities: np.ndarray, frames: Frames, setting: Postprocessing) -> EventTable:
    """Return every run of active frames of all clips, by label, then clip, then time."""
    active = _active(probabilities, frames, setting)
    lengths = np.diff(frames.offsets)
    clip_of_row = np.repeat(np.arange(len(lengths)), lengths)
    inside = clip_of_row[1:] == clip_of_row[:-1]
    goes_on = active[1:] & active[:-1] & inside[:, None]
    begins, ends = active.copy(), active.copy()
    begins[1:] &= ~goes_on
    ends[:-1] &= ~goes_on
    # In label-major order the i-th begin belongs to the i-th end.
    label, first = _label_major(begins)
    last = _label_major(ends)[1]
    times = frames.timestamps
    return EventTable(clip_of_row[first], label, times[first], times[last])


def _label_major(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row of the true entries of (rows, C), sorted by column, then row."""
    row, column = np.divmod(np.flatnonzero(mask), mask.shape[1])
    order = np.argsort(column, kind="stable")
    return column[order], row[order]


def _active(probabilities: np.ndarray, frames: Frames, setting: Postprocessing) -> np.ndarray:
    """Apply median filter and threshold without sorting: bool (rows, C).

    ``scipy.ndimage.median_filter`` gives the value of rank w // 2 (from 0, rising) of the w values
    at i - w // 2, ..., i - w // 2 + w - 1. It exceeds the threshold exactly when at most w // 2
    values of the window do not, that is when at least w - w // 2 values do. So it is enough to
    count the active frames in each window; ties and even widths are as in scipy. Beyond the clip's
    edges the signal is mirrored and the edge frame repeated (scipy's ``reflect``): position k is
    row k mod 2n, or 2n - 1 minus that in the mirrored half. (scipy itself deviates from this rule
    if a window is at least eight times as long as its clip.)
    """
    above = probabilities > setting.threshold
    active = above.copy()
    widths = _filter_widths(frames, setting.median_filter_ms)
    offsets, lengths = frames.offsets, np.diff(frames.offsets)
    for width in np.unique(widths[widths > 1]):
        clips = np.flatnonzero(widths == width)
        clip, position = _count_up(clips, lengths[clips] + width - 1)
        folded = (position - width // 2) % (2 * lengths[clip])
        mirrored = np.minimum(folded, 2 * lengths[clip] - 1 - folded)
        padded = above[offsets[clip] + mirrored].astype(np.min_scalar_type(width))
        counts = padded[: len(padded) - width + 1].copy()
        for shift in range(1, width):
            counts += padded[shift : shift + len(counts)]
        # Keep the windows that lie within one padded clip: one per frame.
        clip_window = position < lengths[clip]
        clip, position = clip[clip_window], position[clip_window]
        enough = counts[np.flatnonzero(clip_window)] >= width - width // 2
        active[offsets[clip] + position] = enough
    return active


def _count_up(values: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each ``values[i]`` ``times[i]`` times, and the number of each repetition from 0."""
    repeated = np.repeat(values, times)
    return repeated, np.arange(len(repeated)) - np.repeat(np.cumsum(times) - times, times)


def _filter_widths(frames: Frames, median_filter_ms: float) -> np.ndarray:
    """Return the median filter's width in frames for every clip, int64; 1 is no filter.

    A clip of one timestamp has no step and needs no filter.
    """
    widths = np.ones(len(frames.offsets) - 1, dtype=np.int64)
    for clip, (first, end) in enumerate(itertools.pairwise(frames.offsets)):
        if end - first > 1:
            step = float(np.mean(np.diff(frames.timestamps[first:end])))
            if not step > 0:
                raise ValueError(f"the timestamps of clip {clip} do not rise: mean step {step} ms")
            widths[clip] = max(round(median_filter_ms / step), 1)
    return widths
