"""Event metrics against sed_eval and mir_eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import UserError
from harness.metrics.event_metric import Event, EventCounts
from harness.metrics.registry import event_metric, metrics_of

METRICS = tuple(metrics_of("event"))
F_METRICS = tuple(name for name in METRICS if name != "segment_1s_er")
LABELS = [f"label {i}" for i in range(4)]
Events = Mapping[str, Sequence[Event]]

SED_EVAL_SETTINGS = {
    "event_onset_200ms_fms": {"evaluate_offset": False, "t_collar": 0.2},
    "event_onset_50ms_fms": {"evaluate_offset": False, "t_collar": 0.05},
    "event_onset_offset_50ms_20perc_fms": {
        "evaluate_offset": True,
        "t_collar": 0.05,
        "percentage_of_length": 0.2,
    },
}


def score_events(name: str, counts: EventCounts, *, original: bool = False) -> dict[str, float]:
    """The metric's own value, and those that are reported with it."""
    metric, totals = event_metric(name), counts.counts.sum(axis=0)
    parts = {part.name.removeprefix(f"{name}_"): part for part in metric.parts}
    return {
        part: float(each.values(totals, original=original))
        for part, each in {metric.value_name: metric, **parts}.items()
    }


def sed_eval_scores(metric: str, predicted: Events, reference: Events) -> dict[str, float]:
    sound_event = pytest.importorskip("sed_eval").sound_event
    container = pytest.importorskip("dcase_util").containers.MetaDataContainer

    def of_file(events: Events, file: str) -> object:
        return container(
            [
                {
                    "event_label": event.label,
                    "event_onset": event.start / 1000.0,
                    "event_offset": event.end / 1000.0,
                    "file": file,
                }
                for event in events.get(file, ())
            ]
        )

    if metric in SED_EVAL_SETTINGS:
        metrics = sound_event.EventBasedMetrics(
            event_label_list=LABELS, evaluate_onset=True, **SED_EVAL_SETTINGS[metric]
        )
    else:
        metrics = sound_event.SegmentBasedMetrics(event_label_list=LABELS, time_resolution=1.0)
    for file in dict.fromkeys([*reference, *predicted]):
        metrics.evaluate(of_file(reference, file), of_file(predicted, file))
    overall = metrics.results_overall_metrics()
    if metric in SED_EVAL_SETTINGS:
        return overall["f_measure"]
    return {"error_rate": overall["error_rate"]["error_rate"]}


def random_events(
    rng: np.random.Generator, n: int, seconds: float, step: float, labels: int = 4
) -> tuple[Event, ...]:
    """Events on a lattice of ``step`` ms, so that many pairs lie exactly a collar apart."""
    starts = rng.integers(0, int(1000 * seconds / step), n) * step
    lengths = rng.integers(0, 30, n) * step
    chosen = rng.integers(0, labels, n)
    return tuple(
        Event(LABELS[c], float(s), float(s + d))
        for c, s, d in zip(chosen, starts, lengths, strict=True)
    )


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(0, 25), st.sampled_from([50.0, 40.0, 33.3]))
def test_every_metric_is_sed_eval_s(seed, n, hop):
    rng = np.random.default_rng(seed)
    reference = {f"{i}.wav": random_events(rng, rng.integers(0, n + 1), 4, 10) for i in range(3)}
    predicted = {f"{i}.wav": random_events(rng, rng.integers(0, n + 1), 4, hop) for i in range(3)}
    for metric in METRICS:
        got = score_events(metric, event_metric(metric).count(predicted, reference), original=True)
        expected = sed_eval_scores(metric, predicted, reference)
        for name, value in got.items():
            assert value == pytest.approx(expected[name], rel=1e-12, nan_ok=True), (metric, name)


def test_hundreds_of_events_of_one_label_are_sed_eval_s():
    rng = np.random.default_rng(3)
    reference = {"a.wav": random_events(rng, 200, 15, 10, labels=1)}
    predicted = {"a.wav": random_events(rng, 200, 15, 50, labels=1)}
    for metric in METRICS:
        got = score_events(metric, event_metric(metric).count(predicted, reference), original=True)
        expected = sed_eval_scores(metric, predicted, reference)
        for name, value in got.items():
            assert value == pytest.approx(expected[name], rel=1e-12), (metric, name)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 300))
def test_f_measures_are_mir_eval_s(seed, n_reference, n_predicted):
    transcription = pytest.importorskip("mir_eval").transcription
    rng = np.random.default_rng(seed)

    def notes(n: int) -> tuple[np.ndarray, np.ndarray, tuple[Event, ...]]:
        # Starts on 3 ms and lengths of 3k + 1 ms keep every pair off the edge of every tolerance,
        # where mir_eval rounds to 0.1 ms and sed_eval does not.
        starts = rng.integers(0, 2000, n) * 3.0
        ends = starts + rng.integers(0, 200, n) * 3.0 + 1.0
        pitch = rng.integers(0, 4, n)
        events = tuple(
            Event(LABELS[p], float(s), float(e))
            for p, s, e in zip(pitch, starts, ends, strict=True)
        )
        return np.stack([starts, ends], axis=1) / 1000, 220 * 2.0 ** (pitch / 12), events

    true_times, true_pitch, reference = notes(n_reference)
    times, pitch, predicted = notes(n_predicted)
    tolerances = {
        "event_onset_200ms_fms": (0.2, None),
        "event_onset_50ms_fms": (0.05, None),
        "event_onset_offset_50ms_20perc_fms": (0.05, 0.2),
    }
    for metric, (onset, offset) in tolerances.items():
        precision, recall, f, _ = transcription.precision_recall_f1_overlap(
            true_times, true_pitch, times, pitch, onset_tolerance=onset, offset_ratio=offset
        )
        got = score_events(metric, event_metric(metric).count({"a": predicted}, {"a": reference}))
        assert list(got) == ["f_measure", "precision", "recall"]
        assert list(got.values()) == pytest.approx([f, precision, recall])


def test_matching_is_the_greatest_possible_and_not_first_come():
    # The early prediction fits both reference events, the late one only the first of them.
    reference = {"a": [Event("x", 100, 200), Event("x", 0, 100)]}
    predicted = {"a": [Event("x", 60, 200), Event("x", 140, 300)]}
    counts = event_metric("event_onset_50ms_fms").count(predicted, reference)
    assert counts.counts.tolist() == [[1, 1, 1]]
    counts = event_metric("event_onset_200ms_fms").count(predicted, reference)
    assert counts.counts.tolist() == [[2, 0, 0]]


def test_counts_are_kept_per_file_and_files_of_either_side_count():
    reference = {"a": [Event("x", 0, 500)], "b": [Event("x", 0, 500)], "c": []}
    predicted = {"a": [Event("x", 0, 500), Event("y", 0, 500)], "d": [Event("x", 0, 500)]}
    counts = event_metric("event_onset_50ms_fms").count(predicted, reference)
    assert counts.files == ("a", "b", "c", "d")
    assert counts.names == ("true_positives", "false_positives", "misses")
    assert counts.counts.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_events_of_other_files_or_labels_never_match():
    reference = {"a": [Event("x", 0, 500)], "b": []}
    for predicted in ({"b": [Event("x", 0, 500)]}, {"a": [Event("y", 0, 500)]}):
        for metric in F_METRICS:
            assert score_events(metric, event_metric(metric).count(predicted, reference)) == {
                "f_measure": 0.0,
                "precision": 0.0,
                "recall": 0.0,
            }


def test_segment_error_rate_counts_touched_seconds():
    reference = {"a": [Event("x", 900, 1100), Event("y", 2000, 3000)]}
    predicted = {"a": [Event("x", 0, 900), Event("z", 2500, 2600), Event("z", 4000, 4001)]}
    counts = event_metric("segment_1s_er").count(predicted, reference)
    assert counts.names == ("substitutions", "deletions", "insertions", "reference_segments")
    assert counts.counts.tolist() == [[1, 1, 1, 3]]
    assert score_events("segment_1s_er", counts) == {"error_rate": 1.0}


@pytest.mark.parametrize("metric", F_METRICS)
def test_undefined_values(metric):
    some, none = {"a": [Event("x", 0, 500)]}, {"a": []}
    nothing_predicted = event_metric(metric).count(none, some)
    nothing_there = event_metric(metric).count(some, none)
    neither = event_metric(metric).count(none, none)
    assert score_events(metric, nothing_predicted)["f_measure"] == 0.0
    assert score_events(metric, nothing_there)["f_measure"] == 0.0
    assert np.isnan(score_events(metric, nothing_predicted)["precision"])
    assert np.isnan(score_events(metric, nothing_there)["recall"])
    assert np.isnan(score_events(metric, neither)["f_measure"])
    for counts in (nothing_predicted, nothing_there, neither):
        assert np.isnan(score_events(metric, counts, original=True)["f_measure"])


def test_an_error_rate_without_reference_is_undefined():
    some, none = {"a": [Event("x", 0, 500)]}, {"a": []}
    metric = "segment_1s_er"
    assert np.isnan(score_events(metric, event_metric(metric).count(some, none))["error_rate"])
    assert score_events(metric, event_metric(metric).count(some, none), original=True)[
        "error_rate"
    ] == pytest.approx(2.0**52)
    assert score_events(metric, event_metric(metric).count(none, none), original=True) == {
        "error_rate": 0.0
    }


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'segment_1s_er'"):
        event_metric("segment_er").count({}, {})


def test_no_files_at_all():
    for metric in METRICS:
        values = score_events(metric, event_metric(metric).count({}, {}))
        assert np.isnan(next(iter(values.values())))
