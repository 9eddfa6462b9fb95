"""The panel of confusions, against scikit-learn."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.metrics import confusion_matrix, recall_score
from support.report_runs import SCENE, cells, records

from harness.report.panel import ModelScope
from harness.report.panels.confusions import CONFUSIONS
from harness.report.sounds import Sounds


def test_recalls_are_scikit_learns(material):
    (record,) = records(material, SCENE)
    (fold,) = record.read_predictions()
    predicted = fold.probabilities[0].argmax(axis=1)
    panel = CONFUSIONS.make(ModelScope("logmel", [record], Sounds(0)))
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

    panel = CONFUSIONS.make(ModelScope("m", [Many()], Sounds(0)))
    assert "23 of 40 classes" in panel.note
    texts = [text.get_text() for text in panel.draw(4).axes[0].get_yticklabels()]
    assert len(texts) == 24
    assert texts[-1] == "all others"
