"""The panel of the worst mistakes."""

from __future__ import annotations

import dataclasses

import numpy as np
from support.report_runs import SCENE, records

from harness.report.panel import ModelScope
from harness.report.panels.mistakes import MISTAKES
from harness.report.sounds import Player, Sounds


def test_the_worst_mistakes_are_the_widest_gaps_first(material):
    model = next(m for _, t, m in material.records if t == SCENE and m != "logmel")
    (record,) = records(material, SCENE, model)
    (fold,) = record.read_predictions()
    p = fold.probabilities[0]
    gap = p.max(axis=1) - p[np.arange(len(p)), fold.targets]
    wrong = p.argmax(axis=1) != fold.targets
    assert wrong.any()
    expected = [fold.clips[i] for i in np.argsort(-gap, kind="stable") if wrong[i]][:5]
    panel = MISTAKES.make(ModelScope(model, [record], Sounds(10**6)))
    assert [row[0] for row in panel.table.rows] == expected
    sounds = [row[1] for row in panel.table.rows]
    assert all(isinstance(each, Player) and each.source.startswith("data:") for each in sounds)


def test_a_model_without_mistakes_says_so(material, monkeypatch):
    (record,) = records(material, SCENE)
    (fold,) = record.read_predictions()
    right = dataclasses.replace(fold, probabilities=np.eye(4)[None, fold.targets])

    class Right:
        embedding_type, prediction_type, labels = "scene", "multiclass", record.labels

        def read_predictions(self):
            return [right]

    panel = MISTAKES.make(ModelScope("m", [Right()], Sounds(0)))
    assert panel.note == "No test clip is wrong."


def test_clips_that_tie_with_the_last_one_shown_are_counted(material):
    (record,) = records(material, SCENE)
    (fold,) = record.read_predictions()
    # All clips are given the same class, and all others than it tie.
    wrong = dataclasses.replace(
        fold, probabilities=np.broadcast_to(np.eye(4)[0], (1, len(fold.targets), 4))
    )

    class Wrong:
        embedding_type, prediction_type, labels = "scene", "multiclass", record.labels

        def read_predictions(self):
            return [wrong]

    class NoSounds:
        def player(self, *_):
            return None

    panel = MISTAKES.make(ModelScope("m", [Wrong()], NoSounds()))
    mistakes = int((fold.targets != 0).sum())
    assert len(panel.table.rows) == 5
    assert f"Not shown: {mistakes - 5} clips as wrong as the last" in panel.note
