from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from support import probe_data
from support.changed import changed
from support.probe_data import QUICK, balanced, class_task, event_task, label_task

from harness.core.errors import UserError
from harness.embeddings.heareval import heareval_order
from harness.embeddings.store import SplitEmbeddings
from harness.metrics.events import Postprocessing, frames_to_events
from harness.metrics.registry import event_metric, scene_metric
from harness.probe import (
    PROTOCOLS,
    Judged,
    ProbeUnit,
    UnitResult,
    check_supported,
    next_units,
    selected_units,
)
from harness.probe.folddata import FoldData, read_fold, read_rows, standardiser
from harness.probe.grid import grid_points
from harness.probe.run import run_unit
from tasks.format.task import Fold, Task, multiclass_targets

SPLITS = {"train": balanced(60), "valid": balanced(30), "test": balanced(30)}
FOLDS = {f"fold0{i}": balanced(21) for i in range(4)}
# A softmax layer at a learning rate of 1e-3 needs more steps than 60 rows give it in 200 epochs.
MANY = {**SPLITS, "train": balanced(1200)}
SCENE_PROTOCOLS = ("hear2021", "mlp", "linear", "byola", "knn")
EVENT_PROTOCOLS = ("hear2021", "mlp", "linear")


def judged(valid_score: float = 0.5) -> Judged:
    return Judged(valid_score, is_finite=True)


def fold_of(name: str, task: Task, fold: Fold, embeddings) -> FoldData:
    """The rows of a fold as a protocol reads them."""
    how = PROTOCOLS[name]
    return read_fold(
        task, fold, embeddings, "cpu", shuffle=how.shuffle, standardise=how.standardise
    )


def run_first(
    name: str, task: Task, embeddings: Mapping[str, SplitEmbeddings], seed: int = 0
) -> UnitResult:
    unit = next_units(PROTOCOLS[name], task, {})[0]
    return run_unit(PROTOCOLS[name], unit, task, embeddings, seed)


def accuracy(task: Task, found: UnitResult) -> float:
    return (
        scene_metric("top1_acc").score(found.probabilities, multiclass_targets(task, "test")).value
    )


# ------------------------------------------------------------------------------------- the grid


def test_the_eight_points_that_the_published_scores_were_made_with() -> None:
    task, _ = class_task(SPLITS, task_specific_param_grid={})
    expected = [
        (1, 1e-4, "normal"),
        (2, 1e-3, "uniform"),
        (1, 1e-3, "normal"),
        (1, 3.2e-4, "normal"),
        (2, 3.2e-4, "normal"),
        (2, 3.2e-4, "uniform"),
        (2, 3.2e-3, "normal"),
        (2, 3.2e-3, "uniform"),
    ]
    points = [dict(point) for point in grid_points(PROTOCOLS["hear2021"], task)]
    found = [(p["hidden_layers"], p["lr"], p["initialization"][7:]) for p in points]
    assert found == expected
    same = {"batch_size": 1024, "hidden_dim": 1024, "dropout": 0.1, "norm_after_activation": False}
    same |= {"max_epochs": 500, "check_val_every_n_epoch": 3, "patience": 20}
    assert all(point.items() >= same.items() for point in points)


def test_the_task_named_dcase_is_checked_every_ten_epochs() -> None:
    task, _ = class_task(SPLITS, task_name="dcase2016_task2", task_specific_param_grid={})
    points = [dict(point) for point in grid_points(PROTOCOLS["hear2021"], task)]
    assert {point["check_val_every_n_epoch"] for point in points} == {10}
    assert (points[0]["hidden_layers"], points[0]["lr"]) == (1, 1e-4)  # the draw is the same


def test_a_task_s_own_grid_replaces_values() -> None:
    own = {"max_epochs": (50,), "check_val_every_n_epoch": (1,), "dropout": (0.0, 0.5)}
    task, _ = class_task(SPLITS, task_specific_param_grid=own)
    points = [dict(point) for point in grid_points(PROTOCOLS["hear2021"], task)]
    assert len(points) == 8
    assert {point["max_epochs"] for point in points} == {50}
    assert {point["dropout"] for point in points} == {0.0, 0.5}
    assert dict(grid_points(PROTOCOLS["byola"], task)[0])["max_epochs"] == 200


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"max_epoch": (5,)}, "Did you mean 'max_epochs'"),
        ({"dropout": (1.0,)}, "below 1"),
        ({"batch_size": (1,)}, "2 or more"),
        ({"initialization": ("xavier",)}, "xavier_uniform"),
        ({"lr": ()}, "empty"),
        ({"lr": (0,)}, "above 0"),
        ({"hidden_layers": (1.5,)}, "whole number"),
        ({"norm_after_activation": ("no",)}, "true or false"),
        ({"max_epochs": (2,)}, "before the first validation"),
    ],
)
def test_a_bad_grid_of_a_task_is_refused(own, message) -> None:
    task, _ = class_task(SPLITS, task_specific_param_grid=own)
    with pytest.raises(UserError, match=message):
        check_supported(PROTOCOLS["hear2021"], task)
    check_supported(PROTOCOLS["linear"], task)  # does not read it


def test_unsupported_tasks_are_refused_by_name() -> None:
    labels, events = label_task()[0], event_task()[0]
    with pytest.raises(UserError, match=r"'byola' does not support multilabel.*hear2021"):
        check_supported(PROTOCOLS["byola"], labels)
    for name in ("byola", "knn"):
        with pytest.raises(UserError, match=f"'{name}' does not support event.*linear"):
            check_supported(PROTOCOLS[name], events)
    for name in SCENE_PROTOCOLS:
        check_supported(PROTOCOLS[name], class_task(SPLITS)[0])


# ---------------------------------------------------------------------------- order and folds


def test_rows_stand_in_the_original_kit_s_order() -> None:
    # As random.Random(0) shuffles lists of 5 and then of 4 (Python 3.11).
    task, embeddings = class_task({"fold00": [0] * 5, "fold01": [0] * 4, "fold02": [0] * 3})
    orders = heareval_order(task)
    assert orders["fold00"] == [2, 1, 0, 4, 3]
    assert orders["fold01"] == [0, 2, 1, 3]
    fold = task.folds[0]  # tests fold00, validates on fold01
    data = fold_of("hear2021", task, fold, embeddings)
    expected = embeddings["fold02"].embeddings[orders["fold02"]]
    np.testing.assert_array_equal(data.train.numpy(), expected)
    np.testing.assert_array_equal(data.valid.numpy(), embeddings["fold01"].embeddings)


def test_train_folds_follow_each_other_and_targets_follow_the_rows() -> None:
    task, embeddings = class_task(FOLDS, noise=0.0)
    fold = task.folds[1]
    assert (fold.train, fold.valid, fold.test) == (("fold00", "fold03"), "fold02", "fold01")
    data = fold_of("hear2021", task, fold, embeddings)
    orders = heareval_order(task)
    targets = [np.array(FOLDS[split])[orders[split]] for split in fold.train]
    np.testing.assert_array_equal(data.train_targets.numpy(), np.concatenate(targets))
    for c in range(3):  # without noise, rows of one class are equal
        assert len(torch.unique(data.train[data.train_targets == c], dim=0)) == 1


def test_frames_of_a_permuted_clip_stay_in_order_of_time() -> None:
    task, embeddings = event_task(n=4, frames=50)
    data = fold_of("hear2021", task, task.folds[0], embeddings)
    order = heareval_order(task)["train"]
    rows = embeddings["train"].embeddings.reshape(4, 50, -1)
    np.testing.assert_array_equal(data.train.numpy().reshape(rows.shape), rows[order])
    clip = task.clips["train"][order[0]]
    begin, end = (int(t / 50) for t in (clip.events[0].start, clip.events[0].end))
    assert data.train_targets[begin : end + 1, 0].all()
    assert not data.train_targets[:begin, 0].any()


def test_a_task_sorted_by_class_needs_the_permutation() -> None:
    # 3,000 rows are three batches. Unpermuted, each batch would have one class, and its statistics
    # would tell batch normalisation nothing of the others.
    per_class = [c for c in range(3) for _ in range(1000)]
    task, embeddings = class_task(
        {"train": per_class, "valid": balanced(150), "test": balanced(300)},
        task_specific_param_grid={
            **QUICK,
            "batch_size": (1024,),
            "lr": (1e-2,),
            "max_epochs": (12,),
        },
    )
    assert accuracy(task, run_first("hear2021", task, embeddings)) > 0.8

    protocol = PROTOCOLS["hear2021"]
    unit = next_units(protocol, task, {})[0]
    with pytest.MonkeyPatch.context() as patch:
        in_file_order = {split: list(range(len(task.clips[split]))) for split in task.splits}
        patch.setattr("harness.probe.folddata.heareval_order", lambda _: in_file_order)
        unpermuted = run_unit(protocol, unit, task, embeddings, 0)
    assert accuracy(task, unpermuted) < 0.7


def test_standardisation_is_fitted_on_train_alone() -> None:
    task, embeddings = class_task(SPLITS)
    others = {**embeddings}
    for split in ("valid", "test"):
        rows = 100 * embeddings[split].embeddings + 7
        others[split] = dataclasses.replace(embeddings[split], embeddings=rows)
    fold = task.folds[0]
    plain = fold_of("mlp", task, fold, embeddings)
    scaled = fold_of("mlp", task, fold, others)
    assert torch.equal(plain.train, scaled.train)
    torch.testing.assert_close(plain.train.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(plain.train.std(0, correction=0), torch.ones(8))
    rows = embeddings["train"].embeddings
    expected = (100 * embeddings["test"].embeddings + 7 - rows.mean(0)) / rows.std(0)
    np.testing.assert_allclose(scaled.test().numpy(), expected, rtol=1e-3, atol=1e-3)
    raw = fold_of("hear2021", task, fold, embeddings)
    np.testing.assert_array_equal(raw.test().numpy(), embeddings["test"].embeddings)


def test_a_constant_column_becomes_zero() -> None:
    rows = np.full((1000, 2), 0.1, dtype=np.float32)
    rows[:, 1] = np.arange(1000)
    mean, scale = standardiser(rows)
    assert scale[0] == 1
    assert abs(rows[0, 0] - mean[0]) < 1e-6
    np.testing.assert_allclose(scale[1], rows[:, 1].std(), rtol=1e-6)


# ------------------------------------------------------------------------------ units, selection


def test_the_first_fold_s_winner_is_trained_anew_on_the_others() -> None:
    protocol, task = PROTOCOLS["hear2021"], class_task(FOLDS, task_specific_param_grid={})[0]
    first = next_units(protocol, task, {})
    assert [unit.fold for unit in first] == [0] * 8
    done = {
        unit: judged(s)
        for unit, s in zip(first, [0.1, 0.3, 0.5, 0.5, 0.4, 0.2, 0.1, 0.1], strict=True)
    }
    assert next_units(protocol, task, {unit: done[unit] for unit in first[:6]}) == first[6:]
    winner = first[2].point  # of equals, the first that was tried
    others = next_units(protocol, task, done)
    assert others == [ProbeUnit(fold, winner) for fold in (1, 2, 3)]
    done |= {unit: judged(0.0) for unit in others}
    assert next_units(protocol, task, done) == []
    expected = [[ProbeUnit(fold, winner)] for fold in range(4)]
    assert selected_units(protocol, task, done) == expected


@pytest.mark.parametrize("name", ["hear2021", "mlp"])
def test_points_after_a_perfect_one_are_not_trained(name: str) -> None:
    protocol, task = PROTOCOLS[name], class_task(FOLDS, task_specific_param_grid={})[0]
    first = [unit for unit in next_units(protocol, task, {}) if unit.fold == 0]
    scores = [0.9, 0.5, 1.0, 1.0, 0.9, 1.0, 0.7, 0.8]
    whole = {unit: judged(score) for unit, score in zip(first, scores, strict=True)}
    done = {unit: whole[unit] for unit in first if unit in (first[2], first[5])}
    missing = [unit for unit in next_units(protocol, task, done) if unit.fold == 0]
    assert missing == first[:2]
    done |= {unit: whole[unit] for unit in missing}
    others = [unit for unit in next_units(protocol, task, done) if unit.fold > 0]
    assert others == [unit for unit in next_units(protocol, task, whole) if unit.fold > 0]
    found = {unit: judged(0.5) for unit in others}
    assert selected_units(protocol, task, done | found) == selected_units(
        protocol, task, whole | found
    )
    assert selected_units(protocol, task, done | found)[0] == [first[2]]


def test_a_perfect_error_rate_or_loss_is_zero() -> None:
    for changes in ({"use_scoring_for_early_stopping": False}, {"evaluation": ("segment_1s_er",)}):
        task, _ = event_task(**changes, task_specific_param_grid={})
        units = next_units(PROTOCOLS["hear2021"], task, {})
        assert len(next_units(PROTOCOLS["hear2021"], task, {units[0]: judged(1.0)})) == 7
        assert next_units(PROTOCOLS["hear2021"], task, {units[0]: judged(0.0)}) == []


def test_every_fold_chooses_for_itself() -> None:
    protocol, task = PROTOCOLS["mlp"], class_task(FOLDS, task_specific_param_grid={})[0]
    units = next_units(protocol, task, {})
    assert len(units) == 4 * 8
    points = grid_points(protocol, task)
    done = {unit: judged(float(points.index(unit.point) == unit.fold)) for unit in units}
    assert next_units(protocol, task, done) == []
    expected = [[ProbeUnit(fold, points[fold])] for fold in range(4)]
    assert selected_units(protocol, task, done) == expected


def test_a_loss_and_an_error_rate_are_minimised() -> None:
    by_loss, _ = event_task(use_scoring_for_early_stopping=False, task_specific_param_grid={})
    by_rate, _ = event_task(evaluation=("segment_1s_er",), task_specific_param_grid={})
    for task in (by_loss, by_rate):
        units = next_units(PROTOCOLS["hear2021"], task, {})
        done = {unit: judged(s) for unit, s in zip(units, [5, 4, 3, 4, 5, 6, 7, 8], strict=True)}
        assert selected_units(PROTOCOLS["hear2021"], task, done) == [[units[2]]]


def test_points_without_a_score_lose_and_tie() -> None:
    task, _ = class_task(SPLITS, task_specific_param_grid={})
    units = next_units(PROTOCOLS["hear2021"], task, {})
    done = {unit: judged(-math.inf) for unit in units}
    assert selected_units(PROTOCOLS["hear2021"], task, done) == [[units[0]]]
    done[units[5]] = judged(0.1)
    assert selected_units(PROTOCOLS["hear2021"], task, done) == [[units[5]]]


def test_byola_runs_ten_times_on_every_fold() -> None:
    protocol, task = PROTOCOLS["byola"], class_task(FOLDS)[0]
    units = next_units(protocol, task, {})
    assert [(unit.fold, unit.run) for unit in units] == [
        (f, r) for f in range(4) for r in range(10)
    ]
    point = dict(units[0].point)
    assert (point["hidden_layers"], point["lr"], point["batch_size"]) == (0, 1e-3, 256)
    assert (point["max_epochs"], point["patience"]) == (200, 10)
    done = {unit: judged() for unit in units}
    assert [len(runs) for runs in selected_units(protocol, task, done)] == [10] * 4


@pytest.mark.parametrize("name", ["linear", "knn"])
def test_one_unit_a_fold_searches_within_itself(name: str) -> None:
    task, _ = class_task(FOLDS)
    units = next_units(PROTOCOLS[name], task, {})
    assert units == [ProbeUnit(fold) for fold in range(4)]


def test_divergence_everywhere_is_said() -> None:
    task, _ = class_task(SPLITS)
    units = next_units(PROTOCOLS["hear2021"], task, {})
    done = {unit: Judged(-math.inf, is_finite=False) for unit in units}
    with pytest.raises(UserError, match="diverged"):
        selected_units(PROTOCOLS["hear2021"], task, done)


# -------------------------------------------------------------------------------------- running


@pytest.mark.parametrize("name", SCENE_PROTOCOLS)
def test_scene_protocols_learn(name: str) -> None:
    task, embeddings = class_task(MANY if name == "byola" else SPLITS)
    found = run_first(name, task, embeddings)
    assert found.probabilities.shape == (30, 3)
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)
    assert accuracy(task, found) > 0.9
    assert found.valid_score > 0.9 or (name == "byola" and found.valid_score == found.valid_loss)


@pytest.mark.parametrize("name", ["hear2021", "mlp", "linear", "knn"])
def test_multilabel_protocols_learn(name: str) -> None:
    task, embeddings = label_task()
    found = run_first(name, task, embeddings)
    assert found.probabilities.min() >= 0
    assert found.probabilities.max() <= 1
    assert found.valid_score > 0.8
    assert found.probabilities.sum(1).std() > 0


@pytest.mark.parametrize("name", EVENT_PROTOCOLS)
def test_event_protocols_learn(name: str) -> None:
    grid = {**QUICK, "max_epochs": (45,)}
    task, embeddings = event_task(task_specific_param_grid=grid)
    found = run_first(name, task, embeddings)
    assert found.probabilities.shape == (6 * 60, 2)
    setting = Postprocessing(**found.postprocessing)
    split = embeddings["test"]
    predicted = {
        clip: frames_to_events(
            found.probabilities[a:b], split.timestamps[a:b], task.labels, setting
        )
        for clip, a, b in zip(split.clips, split.offsets[:-1], split.offsets[1:], strict=True)
    }
    reference = {clip.name: clip.events for clip in task.clips["test"]}
    metric = event_metric(task.primary_metric)
    assert metric.value(metric.count(predicted, reference)) > 0.8


def test_selection_by_loss_chooses_the_postprocessing_afterwards() -> None:
    task, embeddings = event_task(use_scoring_for_early_stopping=False)
    found = run_first("hear2021", task, embeddings)
    assert found.valid_score == found.valid_loss
    assert found.valid_score == pytest.approx(min(row[2] for row in found.curve))
    assert found.postprocessing["min_duration"] in (125, 250)
    by_metric = run_first("linear", task, embeddings)  # its search is by the metric
    assert by_metric.valid_score > 0.8


def test_linear_events_try_thresholds_and_sample_frames_without_events(monkeypatch) -> None:
    monkeypatch.setattr("harness.probe.protocols.linear._LEAST_NEGATIVES", 100)
    task, embeddings = event_task(n=10)
    found = run_first("linear", task, embeddings)
    targets = fold_of("linear", task, task.folds[0], embeddings).train_targets
    positives = int(targets.any(1).sum())
    assert found.params["positive_frames"] == positives
    assert found.params["negative_frames"] == max(positives, 100) < len(targets) - positives
    assert found.postprocessing["threshold"] in PROTOCOLS["linear"].thresholds
    same, other = run_first("linear", task, embeddings), run_first("linear", task, embeddings, 1)
    np.testing.assert_array_equal(found.probabilities, same.probabilities)
    assert not np.array_equal(found.probabilities, other.probabilities)


@pytest.mark.parametrize("name", SCENE_PROTOCOLS)
def test_a_seed_fixes_a_unit_whatever_ran_before(name: str) -> None:
    task, embeddings = class_task(SPLITS, noise=2.0)
    first = run_first(name, task, embeddings)
    torch.rand(3)
    state = torch.random.get_rng_state()
    again = run_first(name, task, embeddings)
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    assert torch.equal(state, torch.random.get_rng_state())
    if name not in ("linear", "knn"):  # have nothing random on scenes
        other = run_first(name, task, embeddings, seed=1)
        assert not np.array_equal(first.probabilities, other.probabilities)


def test_runs_and_points_have_seeds_of_their_own() -> None:
    task, embeddings = class_task(SPLITS, noise=2.0)
    protocol = PROTOCOLS["byola"]
    units = next_units(protocol, task, {})[:2]
    a, b = (run_unit(protocol, unit, task, embeddings, 0) for unit in units)
    assert not np.array_equal(a.probabilities, b.probabilities)


@pytest.mark.parametrize("name", SCENE_PROTOCOLS)
def test_nothing_is_chosen_on_test(name: str) -> None:
    task, embeddings = class_task(SPLITS, noise=2.0)
    first = run_first(name, task, embeddings)
    zeros = np.zeros_like(embeddings["test"].embeddings)
    labels = probe_data.class_task({**SPLITS, "test": [0] * 30})[0]
    blind = {**embeddings, "test": dataclasses.replace(embeddings["test"], embeddings=zeros)}
    second = run_first(name, labels, blind)
    assert second.valid_score == first.valid_score
    assert (second.curve, second.params) == (first.curve, first.params)


def test_a_class_absent_from_validation_ends_hear2021_and_no_other() -> None:
    splits = {**SPLITS, "valid": [0, 1] * 15}
    task, embeddings = class_task(splits, evaluation=("aucroc",))
    found = run_first("hear2021", task, embeddings)
    assert found.valid_score == -math.inf
    assert (found.epoch, len(found.curve)) == (2, 1)
    for name in ("mlp", "linear", "knn"):
        assert run_first(name, task, embeddings).valid_score > 0.9


DEGENERATE = {
    "one class in train": {**SPLITS, "train": [1] * 20},
    "a class missing in train": {**SPLITS, "train": [0, 1] * 20},
    "one clip each in valid and test": {"train": balanced(20), "valid": [0], "test": [1]},
    "fewer clips than a batch": {"train": balanced(5), "valid": [0, 1], "test": [0, 1]},
    "last batch of one row": {**SPLITS, "train": balanced(65)},
    "last batch of one row, batch 256": {**SPLITS, "train": balanced(257)},
}


@pytest.mark.parametrize("name", SCENE_PROTOCOLS)
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_splits_work(name: str, case: str) -> None:
    task, embeddings = class_task(DEGENERATE[case])
    found = run_first(name, task, embeddings)
    assert np.isfinite(found.probabilities).all()
    assert found.probabilities.shape == (len(DEGENERATE[case]["test"]), 3)
    assert math.isfinite(found.valid_score)
    joined = (case, name) in (
        ("last batch of one row", "hear2021"),
        ("last batch of one row", "mlp"),
        ("last batch of one row, batch 256", "hear2021"),
        ("last batch of one row, batch 256", "mlp"),
        ("last batch of one row, batch 256", "byola"),
    )
    assert found.params.get("last_row_joined", False) == joined


@pytest.mark.parametrize("name", SCENE_PROTOCOLS)
def test_float16_and_constant_columns_work(name: str) -> None:
    task, embeddings = class_task(MANY if name == "byola" else SPLITS, dtype="float16")
    for found in embeddings.values():
        found.embeddings[:, 2] = 3.0
    assert accuracy(task, run_first(name, task, embeddings)) > 0.9


@pytest.mark.parametrize("name", ["linear", "knn", "byola"])
def test_one_clip_to_train_on_works_without_batch_normalisation(name: str) -> None:
    task, embeddings = class_task({**SPLITS, "train": [2]})
    found = run_first(name, task, embeddings)
    assert np.isfinite(found.probabilities).all()


def test_one_clip_to_train_on_is_refused_by_what_normalises_batches() -> None:
    task, embeddings = class_task({**SPLITS, "train": [2]})
    with pytest.raises(UserError, match="single row"):
        run_first("hear2021", task, embeddings)


def test_what_cannot_be_probed_is_said() -> None:
    task, embeddings = class_task({**SPLITS, "valid": []})
    with pytest.raises(UserError, match="'valid' has no clips"):
        run_first("linear", task, embeddings)
    task, embeddings = class_task(SPLITS)
    with pytest.raises(UserError, match="other clips"):
        run_first("linear", task, {**embeddings, "test": embeddings["valid"]})
    with pytest.raises(UserError, match="no embeddings"):
        run_first("linear", task, {"train": embeddings["train"]})
    embeddings["train"].embeddings[7, 1] = np.nan
    with pytest.raises(UserError, match=r"train/train-7\.wav"):
        run_first("linear", task, embeddings)


def test_diverging_training_ends_without_an_exception() -> None:
    task, embeddings = class_task(SPLITS)
    for split in embeddings.values():
        split.embeddings[:] *= 1e37
    found = run_first("hear2021", task, embeddings)
    assert found.valid_score == -math.inf


def test_one_event_split_of_no_event_works() -> None:
    task, embeddings = event_task()
    clips = {**task.clips, "valid": tuple(probe_data.Clip(c.name) for c in task.clips["valid"])}
    silent = changed(task, clips=clips)
    for name in EVENT_PROTOCOLS:
        found = run_first(name, silent, embeddings)
        assert np.isfinite(found.probabilities).all()
        assert found.postprocessing is not None


def test_a_result_survives_its_files(tmp_path) -> None:
    for before in (
        UnitResult(
            valid_score=-math.inf,
            valid_loss=None,
            epoch=None,
            curve=[[2, math.nan, 0.5, -math.inf]],
            params={"lr": 1e-3, "initialization": "xavier_normal", "norm_after_activation": False},
            postprocessing={"median_filter_ms": 250.0, "min_duration": 125.0, "threshold": 0.5},
            seconds=1.5,
            probabilities=np.arange(6, dtype=np.float32).reshape(2, 3),
        ),
        run_first("hear2021", *class_task(SPLITS)),
    ):
        before.to_files(tmp_path)
        after = UnitResult.from_files(tmp_path)
        np.testing.assert_array_equal(after.probabilities, before.probabilities)
        fields = UnitResult.model_fields.keys() - {"probabilities", "curve"}
        assert all(getattr(after, name) == getattr(before, name) for name in fields)
        np.testing.assert_array_equal(after.curve, before.curve)


@pytest.mark.parametrize(
    "damage", ["[]", "{", '{"epoch": 1}', '{"epoch": "last"}'], ids=["list", "cut", "part", "text"]
)
def test_a_damaged_result_is_named(tmp_path, damage) -> None:
    task, embeddings = class_task(SPLITS)
    run_first("knn", task, embeddings).to_files(tmp_path)
    (tmp_path / "unit.json").write_text(damage)
    with pytest.raises(UserError, match=r"(?s)is damaged .*Run again"):
        UnitResult.from_files(tmp_path)


def test_memory_mapped_rows_are_copied_and_left_alone(tmp_path) -> None:
    task, embeddings = class_task(SPLITS)
    for split, found in embeddings.items():
        np.save(tmp_path / f"{split}.npy", found.embeddings)
        mapped = np.load(tmp_path / f"{split}.npy", mmap_mode="r")
        embeddings[split] = dataclasses.replace(found, embeddings=mapped)
    before = read_rows(task, [embeddings["train"]])
    for name in ("mlp", "linear"):
        run_first(name, task, embeddings)
    np.testing.assert_array_equal(before, embeddings["train"].embeddings)
