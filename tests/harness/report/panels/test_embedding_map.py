"""The map of embeddings, against scikit-learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.decomposition import PCA
from support.report_runs import SCENE, records

from harness.report.panel import TaskScope
from harness.report.panels.embedding_map import MAP, principal_components


def drawn_map(material, by_model):
    return MAP.make(TaskScope(material, "linear", SCENE, by_model))


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
    assert "All 16 test clips" in drawn_map(material, both).note
    monkeypatch.setattr("harness.report.panels.embedding_map.MOST_POINTS", 20)
    panel = drawn_map(material, both)
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
        return drawn_map(material, {"logmel": [record]}).note

    monkeypatch.setattr("harness.report.panels.embedding_map.MOST_LABELS", 2)
    said = "Colours mark the 2 most frequent of 4 labels"
    first = "ties: the first in the vocabulary"
    assert f"{said} ({first})." in note([4, 4, 4, 4])
    assert f"{said}." in note([6, 6, 2, 2])
