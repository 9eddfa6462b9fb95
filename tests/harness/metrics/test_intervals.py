"""Intervals: what they are computed from, their edges, and their coverage in simulations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

import harness.metrics.macro_mean
from harness.core.errors import UserError
from harness.metrics.event_metric import Event, EventCounts
from harness.metrics.intervals import Interval, estimate
from harness.metrics.macro_mean import effective_units
from harness.metrics.registry import event_metric, find_metric, metrics_of, scene_metric
from harness.metrics.scene_metric import SceneFold, SceneMetric
from harness.metrics.units import Units, clip_units, group_units
from harness.metrics.variance import flat_half_width

RANKED = ("mAP", "aucroc", "d_prime")
ACCURACIES = ("top1_acc", "pitch_acc", "chroma_acc")


def scene_fold(seed: int, n: int, classes: int = 4, runs: int = 1, skill: float = 0.7) -> SceneFold:
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % classes
    scores = rng.normal(size=(runs, n, classes)) + skill * np.eye(classes)[targets]
    return SceneFold(scores, targets)


def scene_interval(metric: str, folds: Sequence[SceneFold], **options) -> Interval:
    return estimate(scene_metric(metric), [SceneFold(*fold) for fold in folds], **options).interval


def event_interval(metric: str, folds: Sequence[Sequence[EventCounts]], **options) -> Interval:
    return estimate(find_metric(metric), folds, **options).interval


def value(metric: str, folds: Sequence) -> float:
    """The reported score: the mean over folds of the mean over runs."""
    if isinstance(find_metric(metric), SceneMetric):
        folds = [SceneFold(*fold) for fold in folds]
    units = clip_units(find_metric(metric).sizes(folds))
    return find_metric(metric).influence(folds, units).value


def answers(right: int, wrong: int) -> SceneFold:
    """One run in which the first clips are right, the others wrong."""
    is_right = np.arange(right + wrong) < right
    return np.stack([is_right, ~is_right], axis=-1)[None].astype(float), np.zeros(
        len(is_right), int
    )


def counted(rng: np.random.Generator, n_files: int, found: float = 0.7) -> EventCounts:
    """Counts of the onset metric in files of unequal quality."""
    truth = rng.poisson(8, n_files) + 1
    hits = rng.binomial(truth, rng.beta(8 * found, 8 * (1 - found), n_files))
    counts = np.stack([hits, rng.poisson(2, n_files), truth - hits], axis=1)
    names = ("true_positives", "false_positives", "misses")
    return EventCounts(tuple(f"{i}.wav" for i in range(n_files)), names, counts)


# The value


@pytest.mark.parametrize("metric", metrics_of("scene"))
def test_the_plug_in_value_is_the_reported_score(metric):
    folds = [scene_fold(f, n, runs=3) for f, n in enumerate((17, 40, 8))]
    reported = np.mean(
        [np.mean([scene_metric(metric).score(run, t).value for run in p]) for p, t in folds]
    )
    assert value(metric, folds) == reported


@pytest.mark.parametrize("metric", metrics_of("event"))
def test_the_plug_in_value_of_events_is_the_reported_score(metric):
    rng = np.random.default_rng(0)

    def some_events() -> dict[str, list[Event]]:
        starts = rng.integers(0, 3000, (4, 6)).astype(float)
        return {f"{i}": [Event("x", s, s + 300) for s in row] for i, row in enumerate(starts)}

    folds = []
    for _ in range(3):
        reference = some_events()
        folds.append([event_metric(metric).count(some_events(), reference) for _ in range(2)])
    reported = np.mean([np.mean([event_metric(metric).value(run) for run in f]) for f in folds])
    assert value(metric, folds) == reported


# Scene tasks


def units_of(names: list[list[str]], grouped: bool) -> Units:
    sizes = [len(of_fold) for of_fold in names]
    return group_units(names, sizes) if grouped else clip_units(sizes)


def unit_names(sizes: tuple[int, ...], grouped: bool) -> list[list[str]]:
    return [[f"{f}-{i % 7 if grouped else i}" for i in range(n)] for f, n in enumerate(sizes)]


@pytest.mark.parametrize("metric", ACCURACIES)
@pytest.mark.parametrize("grouped", [False, True])
def test_influences_are_those_of_rescoring_without_a_unit(metric, grouped):
    sizes = (40, 24)
    folds = [scene_fold(f, n, runs=2) for f, n in enumerate(sizes)]
    names = unit_names(sizes, grouped)
    units = units_of(names, grouped)
    found = find_metric(metric).influence(folds, units)

    def left(without: str) -> float:
        kept = [np.array([name != without for name in of_fold]) for of_fold in names]
        return float(
            np.mean(
                [
                    np.mean([scene_metric(metric).score(run[k], t[k]).value for run in p])
                    for (p, t), k in zip(folds, kept, strict=True)
                ]
            )
        )

    variance = 0.0
    for of_fold in names:
        values = np.array([left(name) for name in sorted(set(of_fold))])
        variance += (len(values) - 1) / len(values) * ((values - values.mean()) ** 2).sum()
    assert found.value == pytest.approx(left(""))
    assert found.variance == pytest.approx(variance)
    assert found.units.freedom == len({name for of_fold in names for name in of_fold}) - 2


@pytest.mark.parametrize("metric", [m for m in metrics_of("scene") if m not in ACCURACIES])
@pytest.mark.parametrize("grouped", [False, True])
def test_influences_on_macro_means_are_those_of_rescoring_each_class(metric, grouped):
    sizes = (40, 24)
    folds = [scene_fold(f, n, runs=2) for f, n in enumerate(sizes)]
    names = unit_names(sizes, grouped)
    units = units_of(names, grouped)
    found = find_metric(metric).influence(folds, units)

    def by_class(fold: int, without: str) -> np.ndarray:
        (p, t), kept = folds[fold], np.array([name != without for name in names[fold]])
        return np.mean([scene_metric(metric).by_class(run[kept], t[kept]) for run in p], axis=0)

    variance = 0.0
    for fold, of_fold in enumerate(names):
        whole, targets, moves = by_class(fold, ""), folds[fold].targets, []
        for unit in sorted(set(of_fold)):
            inside = np.array([name == unit for name in of_fold])
            change = by_class(fold, unit) - whole
            for c in range(len(whole)):
                has = targets == c
                shares = [(inside & side).sum() / side.sum() for side in (has, ~has)]
                change[c] *= np.sqrt(1 - max(shares))
            moves.append(change.mean() / len(names))
        variance += ((np.array(moves) - np.mean(moves)) ** 2).sum()
    assert found.value == pytest.approx(
        np.mean([by_class(fold, "").mean() for fold in range(len(names))])
    )
    assert found.variance == pytest.approx(variance)
    assert found.units.freedom == len({name for of_fold in names for name in of_fold}) - 2


def test_an_accuracy_has_the_clustered_standard_error_of_a_regression():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), rng.integers(3, 20, 12))
    right = rng.random(len(groups)) < rng.beta(4, 2, 12)[groups]
    found = find_metric("top1_acc").influence(
        [SceneFold(np.stack([right, ~right], axis=-1)[None].astype(float), 0 * groups)],
        group_units([groups.astype(str)], [len(groups)]),
    )
    # The linearised variance of a mean over clusters, sum of squared cluster totals / n².
    totals = np.bincount(groups, right - right.mean())
    linearised = 12 / 11 * (totals**2).sum() / len(groups) ** 2
    assert found.variance == pytest.approx(linearised, rel=0.25)
    assert found.variance > 2 * right.mean() * (1 - right.mean()) / len(groups)


@pytest.mark.parametrize("metric", metrics_of("scene"))
def test_an_interval_holds_its_value_and_depends_on_the_seed_alone(metric):
    folds = [scene_fold(f, 30, classes=13) for f in range(2)]
    got = scene_interval(metric, folds, seed=1)
    assert got.low < value(metric, folds) < got.high
    assert got == scene_interval(metric, folds, seed=1)
    assert (got != scene_interval(metric, folds, seed=2)) == (metric in ACCURACIES)


def test_the_few_clips_without_which_a_class_is_gone_do_not_move_the_interval_off_its_value():
    # Nothing is known, so mAP is 1/4 without any clip.
    folds = [SceneFold(np.full((1, 32, 4), 0.25), np.arange(32) % 4) for _ in range(5)]
    got = scene_interval("mAP", folds)
    assert got.low <= value("mAP", folds) == 0.25 <= got.high


def test_multi_hot_targets():
    probabilities, targets = scene_fold(0, 60)
    assert scene_interval("mAP", [(probabilities, targets)]) == scene_interval(
        "mAP", [(probabilities, np.eye(4)[targets])]
    )


def test_every_clip_counts_and_every_label_of_several():
    labels = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0]])
    some = np.full((1, 3, 3), 0.5)
    assert find_metric("mAP").answers([SceneFold(some, labels)]) == 4
    assert find_metric("mAP").answers([SceneFold(some, labels * 0)]) == 3
    assert find_metric("mAP").answers([SceneFold(some, np.arange(3))] * 2) == 6


def test_a_macro_mean_is_known_from_its_rarest_classes():
    def fold(targets: np.ndarray, classes: int):
        return np.full((1, len(targets), classes), 0.5), targets

    even = np.arange(120) % 4
    assert effective_units([fold(even, 4)]) == pytest.approx(120)
    assert effective_units([fold(even, 4)] * 2) == pytest.approx(240)
    assert effective_units([fold(np.eye(4)[even], 4)]) == pytest.approx(120)
    lone = np.arange(60) == 7
    for one in (fold(lone.astype(int), 2), fold(lone[:, None].astype(float), 1)):
        assert effective_units([one]) == pytest.approx(1)
    # A class in no clip, or in all, defines nothing.
    assert effective_units([fold(np.eye(5)[even], 5)]) == pytest.approx(120)
    assert effective_units([fold(np.ones((9, 1)), 1)]) == 0


def test_one_clip_of_a_class_shows_nothing_however_many_others_there_are():
    targets = (np.arange(60) == 7).astype(int)
    got = scene_interval("aucroc", [(np.eye(2)[targets][None], targets)])
    assert np.isnan(got.low)
    assert got.method == "none: the score is undefined without one of the clips"
    twice = (np.arange(60) // 2 == 7).astype(int)
    got = scene_interval("aucroc", [SceneFold(np.eye(2)[twice][None], twice)])
    assert (got.low, got.high) == pytest.approx((1 - flat_half_width(2), 1))


def test_d_prime_of_models_that_tell_nothing_has_no_interval():
    got = scene_interval("d_prime", [(np.full((1, 32, 4), 0.25), np.arange(32) % 4)])
    assert np.isnan([got.low, got.high]).all()
    assert got.method.startswith("none")


@pytest.mark.parametrize("metric", ["aucroc", "top1_acc"])
def test_clips_are_resampled_within_their_fold(metric):
    # Every fold is uniform, so within folds there is little to vary, between them everything.
    targets = np.arange(400) % 2
    right, wrong = (np.eye(2)[targets][None], targets), (np.eye(2)[1 - targets][None], targets)
    apart = scene_interval(metric, [right, wrong])
    together = scene_interval(
        metric,
        [(np.concatenate([right[0], wrong[0]], axis=1), np.concatenate([right[1], wrong[1]]))],
    )
    assert apart.high - apart.low < 0.3 * (together.high - together.low)


@pytest.mark.parametrize("metric", metrics_of("scene"))
def test_repeating_a_run_changes_nothing(metric):
    probabilities, targets = scene_fold(0, 50)
    once = scene_interval(metric, [SceneFold(probabilities, targets)])
    twice = scene_interval(metric, [(np.repeat(probabilities, 2, axis=0), targets)])
    assert twice.low == pytest.approx(once.low)
    assert twice.high == pytest.approx(once.high)


@pytest.mark.parametrize("metric", ["aucroc", "top1_acc"])
def test_averaging_runs_narrows_the_interval(metric):
    probabilities, targets = scene_fold(0, 100, runs=10)
    one = scene_interval(metric, [(probabilities[:1], targets)])
    ten = scene_interval(metric, [(probabilities, targets)])
    assert ten.high - ten.low < 0.7 * (one.high - one.low)


def test_a_class_that_most_resamples_lack_is_left_out_there():
    probabilities, targets = scene_fold(0, 30, classes=3)
    lone = np.where(np.arange(30) == 2, 2, targets % 2)
    for metric in RANKED:
        got = scene_interval(metric, [(probabilities, lone)])
        assert got.low < value(metric, [(probabilities, lone)]) < got.high


def test_an_undefined_score_has_no_interval():
    probabilities, _ = scene_fold(0, 5)
    got = scene_interval("aucroc", [(probabilities, np.zeros(5, int))])
    assert np.isnan(got.low)
    assert got.method == "none: the score is undefined"


def test_a_perfect_ranking_says_that_nothing_varied():
    _, targets = scene_fold(0, 20)
    got = scene_interval("aucroc", [(np.eye(4)[targets][None], targets)])
    wilsons = stats.binomtest(20, 20).proportion_ci(method="wilson")
    assert (got.low, got.high) == pytest.approx((wilsons.low, 1.0))
    assert "no clip of 20 moves the score" in got.method


@pytest.mark.parametrize("n_files", [10, 40])
def test_perfect_events_leave_as_much_open_as_wilson_does(n_files):
    names = ("true_positives", "false_positives", "misses")
    perfect = np.tile([3, 0, 0], (n_files, 1))
    counts = EventCounts(tuple(map(str, range(n_files))), names, perfect)
    got = event_interval("event_onset_200ms_fms", [[counts]])
    n_events = 3 * n_files
    wilsons = stats.binomtest(n_events, n_events).proportion_ci(method="wilson")
    assert (got.low, got.high) == pytest.approx((wilsons.low, 1.0))


@pytest.mark.parametrize("n_files", [10, 40])
def test_precision_and_recall_have_intervals_of_their_own(n_files):
    metric = "event_onset_200ms_fms"
    counts = np.random.default_rng(0).integers(0, 5, (n_files, 3)) + 1
    names = ("true_positives", "false_positives", "misses")
    found = EventCounts(tuple(map(str, range(n_files))), names, counts)
    # Without false alarms F is TP / (TP + misses / 2), with misses doubled TP / (TP + misses).
    counts_of_recall = counts * [1, 0, 2]
    as_f = EventCounts(found.files, names, counts_of_recall)
    recall = event_interval(f"{metric}_recall", [[found]])
    expected = event_interval(metric, [[as_f]])
    assert (recall.low, recall.high) == pytest.approx((expected.low, expected.high))
    turned = EventCounts(found.files, names, counts[:, [0, 2, 1]])
    precision = event_interval(f"{metric}_precision", [[turned]])
    assert (precision.low, precision.high) == pytest.approx((recall.low, recall.high))


@pytest.mark.parametrize("n", [1, 10, 300])
def test_all_right_or_all_wrong_still_has_a_width(n):
    for metric in ACCURACIES:
        right = scene_interval(metric, [answers(n, 0)])
        wrong = scene_interval(metric, [answers(0, n)])
        assert right.high == 1.0
        assert right.low == pytest.approx(stats.beta.ppf(0.025, n + 0.5, 0.5), abs=0.02)
        assert wrong.low == 0.0
        assert wrong.high == pytest.approx(1 - right.low, abs=0.02)


def test_accuracy_of_one_fold_and_run_has_the_jeffreys_interval():
    got = scene_interval("top1_acc", [answers(70, 30)])
    assert got.n_boot == 10_000
    assert got.low == pytest.approx(stats.beta.ppf(0.025, 70.5, 30.5), abs=0.004)
    assert got.high == pytest.approx(stats.beta.ppf(0.975, 70.5, 30.5), abs=0.004)


def test_accuracy_of_five_thousand_clips_takes_no_time():
    fold = scene_fold(0, 5000, classes=50)
    start = time.process_time()
    scene_interval("top1_acc", [fold])
    assert time.process_time() - start < 2.0


def test_memory_is_bounded_without_changing_the_result(monkeypatch):
    fold = scene_fold(0, 50)
    whole = scene_interval("mAP", [fold])
    monkeypatch.setattr(harness.metrics.macro_mean, "_CHUNK_BYTES", 1.0)
    assert scene_interval("mAP", [fold]) == whole


def test_blocks_of_many_clips_give_the_variance_of_single_clips():
    fold = scene_fold(0, 1500)
    single = find_metric("aucroc").influence([fold], clip_units([1500]))
    assert single.units.n_units == 1000
    assert single.units.count == 1500
    right = SceneFold(fold.probabilities[:, :900], fold.targets[:900])
    exact = find_metric("aucroc").influence([right], clip_units([900])).variance
    assert single.variance == pytest.approx(exact * 900 / 1500, rel=0.2)


def test_an_unknown_metric_is_refused():
    with pytest.raises(UserError, match="Did you mean 'mAP'"):
        scene_interval("map", [scene_fold(0, 10)])


# Event tasks


def test_events_have_the_error_of_resampling_files():
    counts = counted(np.random.default_rng(0), 40)
    got = event_interval("event_onset_50ms_fms", [[counts]])
    rng = np.random.default_rng(1)
    totals = [counts.counts[rng.integers(0, 40, 40)].sum(axis=0) for _ in range(2000)]
    draws = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in totals]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert got.method == "jackknife t over 40 files"
    assert got.low == pytest.approx(low, abs=0.12 * (high - low))
    assert got.high == pytest.approx(high, abs=0.12 * (high - low))
    assert got == event_interval("event_onset_50ms_fms", [[counts, counts]])


def test_few_files_are_named_and_given_a_wider_interval():
    few = counted(np.random.default_rng(0), 8)
    many = EventCounts(
        tuple(f"{i}.wav" for i in range(40)), few.names, np.repeat(few.counts, 5, axis=0)
    )
    metric = "event_onset_50ms_fms"
    got = event_interval(metric, [[few]])
    assert got.method.startswith("jackknife t over 8 files, few")
    assert got.low < value(metric, [[few]]) < got.high
    of_many = event_interval(metric, [[many]])
    assert "few" not in of_many.method
    assert of_many.high - of_many.low < (got.high - got.low) / 2


def test_folds_of_few_files_share_their_degrees_of_freedom():
    rng = np.random.default_rng(0)
    folds = [[counted(rng, 6)] for _ in range(4)]
    got = event_interval("event_onset_50ms_fms", folds)
    alone = event_interval("event_onset_50ms_fms", folds[:1])
    assert got.high - got.low < alone.high - alone.low


@pytest.mark.parametrize("n_files", [1, 5])
def test_too_few_files_have_no_interval(n_files):
    got = event_interval("event_onset_50ms_fms", [[counted(np.random.default_rng(0), n_files)]])
    assert np.isnan(got.low)
    assert got.method == f"none: too few test files ({n_files}); 6 are needed"


def test_folds_of_one_file_each_vary_together():
    rng = np.random.default_rng(0)
    each = [counted(rng, 1) for _ in range(8)]
    got = event_interval("event_onset_50ms_fms", [[one] for one in each])
    values = [value("event_onset_50ms_fms", [[one]]) for one in each]
    half = stats.t.ppf(0.975, 7) * np.std(values, ddof=1) / np.sqrt(8)
    assert got.high - got.low == pytest.approx(2 * half, rel=0.1)


def test_events_in_one_file_alone_have_no_interval():
    counts = EventCounts(
        tuple("abcdef"),
        ("true_positives", "false_positives", "misses"),
        np.array([[3, 0, 1], *[[0, 0, 0]] * 5]),
    )
    got = event_interval("event_onset_50ms_fms", [[counts]])
    assert np.isnan(got.high)
    assert got.method == "none: the score is undefined without one of the files"


def test_error_rates_may_exceed_one_and_f_measures_may_not():
    names = ("substitutions", "deletions", "insertions", "reference_segments")
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (6, 4)) + np.array([0, 0, 20, 5])
    got = event_interval("segment_1s_er", [[EventCounts(tuple("abcdef"), names, counts)]])
    assert got.high > 1
    names = ("true_positives", "false_positives", "misses")
    perfect = np.array([[9, 0, 0], [9, 0, 0], [2, 1, 1]] * 2)
    got = event_interval("event_onset_50ms_fms", [[EventCounts(tuple("abcdef"), names, perfect)]])
    assert 0.0 < got.low < got.high < 1.0


def test_runs_over_other_files_are_refused():
    one = counted(np.random.default_rng(0), 3)
    other = EventCounts(("x", "y", "z"), one.names, one.counts)
    with pytest.raises(ValueError, match="same files"):
        event_interval("event_onset_50ms_fms", [[one, other]])


# Coverage


def coverage(truth: float, draw: Callable[[int], Interval], trials: int) -> float:
    """Share of trials in which the interval covers the truth."""
    return float(np.mean([(i := draw(t)).low <= truth <= i.high for t in range(trials)]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folds", "n", "accuracy"), [(1, 10, 0.9), (1, 100, 0.97), (1, 500, 0.7), (7, 12, 0.9)]
)
def test_accuracy_intervals_cover(folds, n, accuracy):
    rng = np.random.default_rng(0)

    def draw(seed: int) -> Interval:
        right = rng.binomial(n, accuracy, folds)
        return scene_interval("top1_acc", [answers(k, n - k) for k in right], seed=seed)

    assert coverage(accuracy, draw, 400) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("metric", RANKED)
@pytest.mark.parametrize(("n", "classes"), [(100, 20), (300, 10), (500, 50)])
def test_ranked_intervals_cover_the_mean_score_of_such_test_sets(metric, n, classes):
    def fold(seed: int) -> SceneFold:
        rng = np.random.default_rng(seed)
        targets = rng.integers(0, classes, n)
        return SceneFold(rng.normal(size=(1, n, classes)) + 1.5 * np.eye(classes)[targets], targets)

    truth = float(np.mean([value(metric, [fold(10_000 + s)]) for s in range(1000)]))
    assert coverage(truth, lambda s: scene_interval(metric, [fold(s)]), 200) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folds", "files"), [(1, 6), (1, 8), (1, 29), (1, 40), (5, 2), (5, 5), (8, 1)]
)
def test_event_intervals_cover(folds, files):
    metric = "event_onset_50ms_fms"

    def test_set(seed: int) -> list[list[EventCounts]]:
        rng = np.random.default_rng(seed)
        return [[counted(rng, files)] for _ in range(folds)]

    truth = float(np.mean([value(metric, test_set(10_000 + s)) for s in range(2000)]))
    assert coverage(truth, lambda s: event_interval(metric, test_set(s)), 300) >= 0.9
