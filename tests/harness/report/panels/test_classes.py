"""The panel of class scores, against other implementations."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from support.changed import changed
from support.report_runs import EVENTS, MIX, SCENE, cells, records

from harness.metrics.registry import event_metric
from harness.report.panel import TaskScope
from harness.report.panels.classes import CLASSES


def classes(material, by_model):
    return CLASSES.make(TaskScope(material, "linear", SCENE, by_model))


def test_average_precision_by_class_is_scikit_learns(material):
    by_model = {m: records(material, MIX, m) for m in ("logmel",)}
    panel = classes(material, by_model)
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
    found = cells(classes(material, {"logmel": [record]}), 1)
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
    panel = classes(material, {"logmel": [record]})
    assert panel.table.header[-1] == unit
    counts = cells(panel, -1)
    assert counts == {label: f"{expected[label]:.0f}" for label in counts}
    names = [text.get_text() for text in panel.draw(4).axes[0].get_yticklabels()]
    assert [name.rpartition(" ")[2] for name in names] == [f"({n})" for n in counts.values()]


def test_a_model_that_cannot_be_read_is_named_beside_the_others(material, tmp_path):
    both = {m: records(material, SCENE, m) for _, t, m in material.records if t == SCENE}
    gone = next(model for model in both if model != "logmel")
    both[gone] = (changed(both[gone][0], directory=tmp_path),)
    panel = classes(material, both)
    assert panel.table.header == ("class", "logmel", "clips")
    assert f"Left out: {gone}: " in panel.note
