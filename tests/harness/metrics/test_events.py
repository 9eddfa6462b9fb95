"""Frames to events and back, and the choice of post-processing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter
from support import task_directories

from harness.core.errors import UserError
from harness.metrics.event_metric import Event
from harness.metrics.events import (
    Frames,
    Postprocessing,
    best_postprocessing,
    frame_targets,
    frames_to_events,
    postprocessing_grid,
)
from harness.metrics.registry import event_metric, metrics_of
from tasks.format.task import read_task

LABELS = ("a", "b", "c")


def events_by_the_book(
    probabilities: np.ndarray, timestamps: np.ndarray, setting: Postprocessing
) -> list[Event]:
    """The definition, frame by frame."""
    if len(timestamps) > 1 and setting.median_filter_ms:
        width = round(setting.median_filter_ms / np.mean(np.diff(timestamps)))
        if width:
            probabilities = median_filter(probabilities, size=(width, 1))
    found = []
    for c, label in enumerate(LABELS):
        active = probabilities[:, c] > setting.threshold
        for is_on, run in itertools.groupby(range(len(active)), key=lambda i, a=active: a[i]):
            frames = list(run)
            start, end = float(timestamps[frames[0]]), float(timestamps[frames[-1]])
            if is_on and end - start >= setting.min_duration:
                found.append(Event(label, start, end))
    return sorted(found, key=lambda event: event.start)


@st.composite
def frames(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    smooth = np.cumsum(rng.normal(size=(n, len(LABELS))), axis=0) * 0.2 + 0.5
    decimals = draw(st.integers(1, 4))
    hop = draw(st.sampled_from([10.0, 33.3, 40.0, 50.0]))
    return np.clip(np.round(smooth, decimals), 0, 1).astype(np.float32), 25 + hop * np.arange(n)


@st.composite
def settings_of_postprocessing(draw: st.DrawFn) -> Postprocessing:
    return Postprocessing(
        float(draw(st.integers(0, 500))),
        float(draw(st.sampled_from([0, 50, 125, 250]))),
        draw(st.sampled_from([0.5, 0.3, 0.7])),
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(frames(), settings_of_postprocessing())
def test_events_are_those_of_the_definition(case, setting):
    probabilities, timestamps = case
    if setting.median_filter_ms > 7 * 10.0 * len(timestamps):
        return  # scipy's own mirroring strays for windows of eight clip lengths
    got = frames_to_events(probabilities, timestamps, LABELS, setting)
    assert got == events_by_the_book(probabilities, timestamps, setting)


def test_a_clip_of_one_timestamp_is_its_own_median():
    setting = Postprocessing(min_duration=0.0)
    got = frames_to_events(np.array([[0.9, 0.2, 0.6]]), np.array([25.0]), LABELS, setting)
    assert got == [Event("a", 25.0, 25.0), Event("c", 25.0, 25.0)]
    assert (
        frames_to_events(np.array([[0.9, 0.2, 0.6]]), np.array([25.0]), LABELS, Postprocessing())
        == []
    )


def test_a_clip_without_timestamps_has_no_events():
    assert frames_to_events(np.zeros((0, 3)), np.zeros(0), LABELS, Postprocessing()) == []


def test_a_window_longer_than_the_clip_mirrors_it_again_and_again():
    probabilities = np.array([[0.9, 0.1, 0.9], [0.9, 0.9, 0.1], [0.1, 0.1, 0.1]])
    timestamps = np.array([0.0, 50.0, 100.0])
    setting = Postprocessing(median_filter_ms=1e5, min_duration=0.0)
    assert frames_to_events(probabilities, timestamps, LABELS, setting) == [Event("a", 0.0, 100.0)]


def test_an_event_is_kept_at_exactly_the_minimum_duration():
    timestamps = 50.0 * np.arange(8)
    probabilities = np.zeros((8, 3))
    probabilities[2:5, 1] = 0.8
    keep = Postprocessing(0.0, 100.0)
    assert frames_to_events(probabilities, timestamps, LABELS, keep) == [Event("b", 100.0, 200.0)]
    assert frames_to_events(probabilities, timestamps, LABELS, Postprocessing(0.0, 100.1)) == []


def test_a_probability_at_the_threshold_is_not_active():
    probabilities = np.full((4, 3), 0.5, dtype=np.float32)
    assert frames_to_events(probabilities, np.arange(4.0), LABELS, Postprocessing(0, 0)) == []


def test_timestamps_that_do_not_rise_are_refused():
    with pytest.raises(ValueError, match="clip 0 do not rise"):
        frames_to_events(np.ones((3, 3)), np.zeros(3), LABELS, Postprocessing())


def test_targets_cover_start_up_to_and_with_end():
    events = [Event("b", 50.0, 100.0), Event("c", 60.0, 99.0), Event("c", 120.0, 120.0)]
    targets = frame_targets(np.array([0.0, 50.0, 100.0, 100.001, 120.0]), events, LABELS)
    assert targets.dtype == np.float32
    assert targets.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert frame_targets(np.arange(3.0), [], LABELS).sum() == 0


def test_a_label_outside_the_vocabulary_is_refused():
    with pytest.raises(UserError, match="'d', which the vocabulary lacks"):
        frame_targets(np.arange(3.0), [Event("d", 0.0, 1.0)], LABELS)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(frames(), settings_of_postprocessing())
def test_targets_of_events_give_the_events_back(case, setting):
    probabilities, timestamps = case
    plain = Postprocessing(0.0, 0.0, setting.threshold)
    events = frames_to_events(probabilities, timestamps, LABELS, plain)
    targets = frame_targets(timestamps, events, LABELS)
    np.testing.assert_array_equal(targets, probabilities > setting.threshold)


def three_clips(seed: int) -> dict:
    """Noisy frames of clips of 1, 40 and 25 timestamps, and events to find in them."""
    rng = np.random.default_rng(seed)
    lengths = np.array([1, 40, 25])
    hops = (50.0, 50.0, 40.0)
    timestamps = np.concatenate([h * np.arange(n) for n, h in zip(lengths, hops, strict=True)])
    noise = rng.normal(scale=0.25, size=(lengths.sum(), 3))
    active = np.repeat(rng.random((11, 3)) < 0.4, 6, axis=0)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    clips = ["one.wav", "two.wav", "three.wav"]
    reference = {
        clip: frames_to_events(
            active[first:last].astype(float), timestamps[first:last], LABELS, Postprocessing(0, 0)
        )
        for clip, first, last in zip(clips, offsets, offsets[1:], strict=False)
    }
    return {
        "probabilities": np.clip(0.2 + 0.6 * active + noise, 0, 1).astype(np.float32),
        "frames": Frames(timestamps, offsets, clips),
        "reference": reference,
        "labels": LABELS,
    }


GRID = [
    Postprocessing(m, d, t) for m in (0.0, 150.0, 250.0) for d in (0.0, 100.0) for t in (0.4, 0.5)
]


@pytest.mark.parametrize("metric", metrics_of("event"))
@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_the_best_of_all_settings_scored_one_by_one(metric, seed):
    case = three_clips(seed)
    frames = case["frames"]
    scored = []
    for setting in GRID:
        predicted = {
            clip: frames_to_events(
                case["probabilities"][first:last], frames.timestamps[first:last], LABELS, setting
            )
            for clip, (first, last) in zip(
                frames.clips, itertools.pairwise(frames.offsets), strict=True
            )
        }
        counts = event_metric(metric).count(predicted, case["reference"])
        value = event_metric(metric).value(counts)
        scored.append((value if event_metric(metric).higher_is_better else -value, setting, value))
    _, setting, value = max(scored, key=lambda s: s[:2])
    assert best_postprocessing(event_metric(metric), grid=GRID, **case) == (
        setting,
        pytest.approx(value),
    )


def test_equally_good_settings_go_to_the_largest():
    case = three_clips(0) | {"probabilities": np.zeros((66, 3), dtype=np.float32)}
    for metric in metrics_of("event"):
        setting, value = best_postprocessing(event_metric(metric), grid=GRID[::-1], **case)
        assert setting == Postprocessing(250.0, 100.0, 0.5)
        assert value == (0.0 if event_metric(metric).higher_is_better else 1.0)


def test_the_original_value_is_nan_when_nothing_is_predicted():
    case = three_clips(0) | {"probabilities": np.zeros((66, 3), dtype=np.float32)}
    setting, value = best_postprocessing(
        event_metric("event_onset_200ms_fms"), grid=GRID, original=True, **case
    )
    assert setting == Postprocessing(250.0, 100.0, 0.5)
    assert np.isnan(value)


def test_reference_clips_without_frames_count_as_missed():
    case = three_clips(0)
    _, value = best_postprocessing(event_metric("event_onset_200ms_fms"), grid=GRID, **case)
    case["reference"]["absent.wav"] = [Event("a", 0.0, 100.0)] * 20
    _, with_absent = best_postprocessing(event_metric("event_onset_200ms_fms"), grid=GRID, **case)
    assert with_absent < value


def grid_of(root: Path, params: dict | None) -> list[Postprocessing]:
    directory = task_directories.make_task(root, "events", n=2)
    file = directory / "task_metadata.json"
    metadata = json.loads(file.read_text()) | {"evaluation_params": params}
    file.write_text(json.dumps(metadata))
    return postprocessing_grid(read_task(directory).event_postprocessing_grid)


def test_grids(tmp_path):
    assert grid_of(tmp_path / "default", None) == [
        Postprocessing(250.0, 125.0, 0.5),
        Postprocessing(250.0, 250.0, 0.5),
    ]
    own = {"event_postprocessing_grid": {"threshold": [0.3, 0.5], "median_filter_ms": [100]}}
    assert grid_of(tmp_path / "own", own) == [
        Postprocessing(100.0, 60.0, 0.3),
        Postprocessing(100.0, 60.0, 0.5),
    ]
