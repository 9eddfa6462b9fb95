"""What panels say, against independent implementations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, confusion_matrix, recall_score
from support.changed import changed
from support.result_rows import row

from harness.analysis.board.published import read_board
from harness.metrics.registry import event_metric
from harness.report.classes import classes_panel, confusion_panel
from harness.report.comparison import comparison
from harness.report.curves import curves_panel
from harness.report.maps import map_panel, principal_components
from harness.report.material import Material
from harness.report.mistakes import mistakes_panel
from harness.report.panel import Panel
from harness.report.scores import scores_panel
from harness.report.sections import task_sections
from harness.report.sounds import Sound, Sounds
from harness.report.timelines import timeline_panel
from harness.results import frame
from harness.results.predictions import write_predictions

SCENE, MIX, EVENTS = (f"tiny_{kind}-v1-full" for kind in ("scene", "multilabel", "events"))


def records(material, task, model="logmel"):
    return material.records["linear", task, model]


def cells(panel: Panel, column: int) -> dict[str, str]:
    assert panel.sheet is not None
    return {str(row[0]): str(row[column]) for row in panel.sheet.rows}


def test_recalls_are_scikit_learns(material):
    (record,) = records(material, SCENE)
    (fold,) = record.read_predictions()
    predicted = fold.probabilities[0].argmax(axis=1)
    panel = confusion_panel("logmel", [record])
    recalls = recall_score(fold.targets, predicted, average=None, zero_division=0)
    assert list(cells(panel, 2).values()) == [f"{100 * value:.0f}" for value in recalls]
    counts = confusion_matrix(fold.targets, predicted)
    assert list(cells(panel, 1).values()) == [str(n) for n in counts.sum(axis=1)]


def test_of_many_classes_those_with_most_mistakes_are_drawn(material):
    (record,) = records(material, SCENE)
    (fold,) = record.read_predictions()
    rng = np.random.default_rng(0)
    n, classes = 400, 40
    many = dataclasses.replace(
        fold,
        probabilities=np.eye(classes)[None, rng.integers(0, classes, n)],
        targets=rng.integers(0, classes, n),
    )

    class Many:
        labels = tuple(f"c{number}" for number in range(classes))

        def read_predictions(self):
            return [many]

    panel = confusion_panel("m", [Many()])
    assert "23 of 40 classes" in panel.note
    texts = [text.get_text() for text in panel.draw(4).axes[0].get_yticklabels()]
    assert len(texts) == 24
    assert texts[-1] == "all others"


def test_average_precision_by_class_is_scikit_learns(material):
    by_model = {m: records(material, MIX, m) for m in ("logmel",)}
    panel = classes_panel("mAP", by_model)
    (fold,) = by_model["logmel"][0].read_predictions()
    expected = {
        label: average_precision_score(fold.targets[:, c], fold.probabilities[0][:, c])
        for c, label in enumerate(by_model["logmel"][0].labels)
        if fold.targets[:, c].any()
    }
    found = cells(panel, 1)
    assert found == {label: f"{value:.3f}" for label, value in expected.items()}


def test_event_scores_by_class_add_up_to_the_reported_one(material):
    """With one class in truth and prediction, its score is the task's."""
    (record,) = records(material, EVENTS)
    (fold,) = record.read_predictions()
    metric = record.evaluation[0]
    found = cells(classes_panel(metric, {"logmel": [record]}), 1)
    for label in record.labels:
        predicted, truth = (_only(label, each) for each in (fold.predicted[0], fold.reference))
        expected = event_metric(metric).value(event_metric(metric).count(predicted, truth))
        assert float(found[label]) == pytest.approx(expected, abs=5e-4)


def _only(label, clips):
    return {name: [e for e in events if e.label == label] for name, events in clips.items()}


@pytest.mark.parametrize(("task", "unit"), [(SCENE, "clips"), (MIX, "clips"), (EVENTS, "events")])
def test_classes_say_on_how_much_they_stand(material, task, unit):
    (record,) = records(material, task)
    (fold,) = record.read_predictions()
    if task == EVENTS:
        found = [event.label for events in fold.reference.values() for event in events]
        expected = {label: found.count(label) for label in record.labels}
    else:
        hot = fold.targets if task == MIX else np.eye(len(record.labels))[fold.targets]
        expected = dict(zip(record.labels, hot.sum(axis=0), strict=True))
    panel = classes_panel(record.evaluation[0], {"logmel": [record]})
    assert panel.sheet.header[-1] == unit
    counts = cells(panel, -1)
    assert counts == {label: f"{expected[label]:.0f}" for label in counts}
    names = [text.get_text() for text in panel.draw(4).axes[0].get_yticklabels()]
    assert [name.rpartition(" ")[2] for name in names] == [f"({n})" for n in counts.values()]


def test_a_model_that_cannot_be_read_is_named_beside_the_others(material, tmp_path):
    both = {m: records(material, SCENE, m) for _, t, m in material.records if t == SCENE}
    gone = next(model for model in both if model != "logmel")
    both[gone] = (changed(both[gone][0], directory=tmp_path),)
    panel = classes_panel("top1_acc", both)
    assert panel.sheet.header == ("class", "logmel", "clips")
    assert f"Left out: {gone}: " in panel.note


def test_seeds_that_were_tested_on_other_clips_leave_a_sentence(material, tmp_path):
    (record,) = records(material, SCENE)
    fold = record.read_predictions()[0]
    shorter = dataclasses.replace(
        fold,
        clips=fold.clips[:-1],
        probabilities=fold.probabilities[:, :-1],
        targets=fold.targets[:-1],
        offsets=fold.offsets[:-1],
    )
    write_predictions(shorter, tmp_path)
    seeds = (record, changed(record, directory=tmp_path))
    key = ("linear", SCENE, "logmel")
    several = dataclasses.replace(material, records={**material.records, key: seeds})
    (section,) = task_sections(several, tasks=(SCENE,))
    (mistakes,) = (p for p in section.by_model["logmel"] if p.name == "mistakes")
    assert "tested on other clips" in mistakes.note


def test_a_model_of_another_version_of_the_task_has_no_panels(material):
    model = next(m for _, t, m in material.records if t == SCENE and m != "logmel")
    (record,) = records(material, SCENE, model)
    other = changed(record, labels=(*record.labels, "one more"))
    key = ("linear", SCENE, model)
    mixed = dataclasses.replace(
        material, records={**material.records, key: (other,)}, named=("logmel",)
    )
    (section,) = task_sections(mixed, tasks=(SCENE,))
    assert len(section.by_model) == 1
    assert "another version of the task" in section.missing


def test_the_map_is_scikit_learns_principal_components():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(60, 7)) * np.arange(1, 8) + 3
    rows[:, 3] = 5.0
    points, kept = principal_components(rows)
    standard = np.delete(rows, 3, axis=1)
    standard = (standard - standard.mean(axis=0)) / standard.std(axis=0)
    other = PCA(2).fit(standard)
    expected = other.transform(standard)
    signs = np.sign((points * expected).sum(axis=0))
    np.testing.assert_allclose(points, expected * signs, atol=1e-9)
    assert kept == pytest.approx(other.explained_variance_ratio_.sum())
    np.testing.assert_array_equal(principal_components(rows)[0], points)


@pytest.mark.parametrize("rows", [np.ones((5, 3)), np.ones((1, 1)), np.arange(4.0)[:, None]])
def test_embeddings_without_two_directions_have_a_map_all_the_same(rows):
    points, _ = principal_components(rows)
    assert points.shape == (len(rows), 2)
    assert np.isfinite(points).all()


def test_a_map_says_how_many_points_it_draws(material, monkeypatch):
    both = {m: records(material, SCENE, m) for _, t, m in material.records if t == SCENE}
    assert "All 16 test clips" in map_panel(both).note
    monkeypatch.setattr("harness.report.maps.MOST_POINTS", 20)
    panel = map_panel(both)
    assert "10 of 16 test clips" in panel.note
    drawn = list(panel.draw(4).axes[0].lines)
    assert sum(len(line.get_xdata()) for line in drawn) == 10


def test_a_map_says_which_of_equally_frequent_labels_it_tells_apart(material, monkeypatch):
    (record,) = records(material, SCENE)
    (fold,) = record.read_predictions()

    def note(counts):
        targets = np.repeat(np.arange(4), counts)
        assert len(targets) == len(fold.targets)
        monkeypatch.setattr(
            type(record),
            "read_predictions",
            lambda self: [dataclasses.replace(fold, targets=targets)],
        )
        return map_panel({"logmel": [record]}).note

    monkeypatch.setattr("harness.report.maps.MOST_LABELS", 2)
    said = "The 2 most frequent of 4 labels are told apart"
    assert f"{said}, of equally frequent ones the first in the task's list." in note([4, 4, 4, 4])
    assert f"{said}." in note([6, 6, 2, 2])


def test_the_worst_mistakes_are_the_widest_gaps_first(material):
    model = next(m for _, t, m in material.records if t == SCENE and m != "logmel")
    (record,) = records(material, SCENE, model)
    (fold,) = record.read_predictions()
    p = fold.probabilities[0]
    gap = p.max(axis=1) - p[np.arange(len(p)), fold.targets]
    wrong = p.argmax(axis=1) != fold.targets
    assert wrong.any()
    expected = [fold.clips[i] for i in np.argsort(-gap, kind="stable") if wrong[i]][:5]
    panel = mistakes_panel(model, [record], "top1_acc", Sounds(10**6))
    assert [row[0] for row in panel.sheet.rows] == expected
    sounds = [row[1] for row in panel.sheet.rows]
    assert all(isinstance(each, Sound) and each.source.startswith("data:") for each in sounds)


def test_a_model_without_mistakes_says_so(material, monkeypatch):
    (record,) = records(material, SCENE)
    (fold,) = record.read_predictions()
    right = dataclasses.replace(fold, probabilities=np.eye(4)[None, fold.targets])

    class Right:
        embedding_type, prediction_type, labels = "scene", "multiclass", record.labels

        def read_predictions(self):
            return [right]

    panel = mistakes_panel("m", [Right()], "top1_acc", Sounds(0))
    assert panel.note == "No test clip is wrong."


def test_a_curve_marks_what_was_chosen(material):
    panel = curves_panel("logmel", records(material, SCENE), "top1_acc")
    (unit,) = records(material, SCENE)[0].read_probes(records(material, SCENE)[0].folds[0])
    assert panel.sheet.rows[0][2] == f"{unit.params['l2']:.3g}"
    axis = panel.draw(4).axes[0]
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [unit.params["l2"]]
    scores = {x: score for x, _, score in unit.curve}
    assert float(dots[0].get_ydata()[0]) == scores[unit.params["l2"]]


def test_many_curves_are_counted_by_what_they_come_of(material):
    (record,) = records(material, SCENE)
    note = curves_panel("logmel", [record] * 3, "top1_acc").note
    assert note.endswith(" 3 lines, one for each probe: 3 seeds.")
    assert "lines" not in curves_panel("logmel", [record], "top1_acc").note


def test_a_timeline_holds_the_events_of_its_recording(material):
    (record,) = records(material, EVENTS)
    panel = timeline_panel("logmel", [record], record.evaluation[0], Sounds(10**6))
    (fold,) = record.read_predictions()
    clip = panel.note.partition(":")[0]
    kinds = [row[0] for row in panel.sheet.rows]
    assert kinds.count("truth") == len(fold.reference[clip])
    assert kinds.count("prediction") == len(fold.predicted[0][clip])
    assert len(panel.draw(4).axes) == 2
    assert panel.sound.source.startswith("data:audio/")


def test_scores_stand_beside_the_published_board():
    task = "esc50-v2.0.0-full"
    rows = [
        row(model=m, task=task, protocol="hear2021", value=v) for m, v in (("a", 0.9), ("b", 0.8))
    ]
    material = Material(frame(rows), (), {})
    panel = scores_panel(material, "hear2021", task)
    board = read_board("hear2021")[task].dropna()
    assert "HEAR 2021 board" in panel.note
    published = [each for each in panel.sheet.rows if str(each[0]).startswith("HEAR 2021: ")]
    assert len(published) == len(board) > 20
    assert [line[1] for line in panel.sheet.rows[:2]] == ["0.9000", "0.8000"]
    assert published[0][1] == f"{board.max():.4f}"
    marks = next(line for line in panel.draw(4).axes[0].lines if len(line.get_xdata()) > 20)
    assert sorted(marks.get_xdata()) == sorted(board)


def test_ranks_stand_on_tasks_of_one_version_and_say_on_how_many():
    rows = [
        row(model=m, model_fingerprint=m, task=f"t{i}-v1-full", value=v, task_sha256=sha)
        for i, hashes in enumerate(("xx", "xx", "xy"))
        for (m, v), sha in zip((("a", 0.5), ("b", 0.6)), hashes, strict=True)
    ]
    rows = [each for each in rows if (each.task.name, each.model.label) != ("t1-v1-full", "b")]
    ranks = comparison(Material(frame(rows), (), {}), "linear").panels[-1]
    said = "1 of 3 tasks (left out: 1 without a score of some model, 1 not tested alike)"
    assert said in ranks.note
    assert [line[:2] for line in ranks.sheet.rows] == [("b", "1.00"), ("a", "2.00")]
    ranks = comparison(Material(frame(rows[-2:]), (), {}), "linear").panels[-1]
    assert ranks.note.startswith("There are no ranks: they stand on 0 of 1 task (left out")


def test_the_board_is_of_one_protocol_alone():
    task = "esc50-v2.0.0-full"
    material = Material(frame([row(task=task, protocol="linear")]), (), {})
    panel = scores_panel(material, "linear", task)
    assert "board" not in panel.note
    assert len(panel.sheet.rows) == 1


def test_every_task_has_a_section_for_each_protocol(material):
    sections = list(task_sections(material, 0))
    assert {section.task for section in sections} == {SCENE, MIX, EVENTS}
    for section in sections:
        names = [panel.name for panel in section.every_panel()]
        assert names.count("scores") == names.count("map") == 1
        assert names.count("curve") == names.count("mistakes") == 2
        assert ("timeline" in names) == (section.task == EVENTS)
        assert ("confusion" in names) == (section.task == SCENE)
        assert section.missing == ""


def test_a_forest_is_turned_so_that_right_is_better_for_the_first(material):
    forest, ranks = comparison(material, "linear").panels
    a, b = forest.title.split(" against ")
    values = material.cells("linear").set_index(["task", "model"]).value
    *lines, mean = forest.sheet.rows
    assert mean[0] == "mean of 3 tasks"
    for line in lines:
        task = f"{line[0]}-v1-full"
        assert line[6:8] == (f"{values[task, a]:.3f}", f"{values[task, b]:.3f}")
    better = sum(line[6] > line[7] for line in lines)
    assert ranks.sheet.rows[0][0] == (a if better >= 2 else b)
