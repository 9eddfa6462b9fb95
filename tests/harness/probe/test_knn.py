from __future__ import annotations

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier

from harness.probe.knn import neighbour_scores

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(80, 6)).astype(np.float32)
QUERIES = RNG.normal(size=(1100, 6)).astype(np.float32)  # more than one chunk
CLASSES = np.arange(80) % 3
LABELS = (RNG.random((80, 4)) < 0.3).astype(np.float32)


def scores(targets: np.ndarray, n_outputs: int, ks, rows=ROWS, queries=QUERIES):
    found = neighbour_scores(
        torch.from_numpy(rows), torch.from_numpy(targets), n_outputs, torch.from_numpy(queries), ks
    )
    return list(found)


def test_classes_equal_scikit_learn() -> None:
    for k, found in zip((1, 5, 20), scores(CLASSES, 3, (1, 5, 20)), strict=True):
        model = KNeighborsClassifier(
            k, metric="cosine", algorithm="brute", weights=lambda d: 1 / np.maximum(d, 1e-6)
        )
        expected = model.fit(ROWS, CLASSES).predict_proba(QUERIES)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_labels_are_the_mean_of_the_neighbours() -> None:
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    nearest = np.argsort(-(QUERIES @ unit.T), axis=1)
    for k, found in zip((1, 5), scores(LABELS, 4, (1, 5)), strict=True):
        np.testing.assert_allclose(found, LABELS[nearest[:, :k]].mean(1), atol=1e-6)


def test_an_exact_copy_decides() -> None:
    (found,) = scores(CLASSES, 3, (20,), queries=ROWS[:10])
    np.testing.assert_array_equal(found.argmax(1), CLASSES[:10])
    assert np.isfinite(found).all()


def test_more_neighbours_than_rows_means_all_rows() -> None:
    (few,) = scores(CLASSES[:4], 3, (50,), rows=ROWS[:4])
    (all_,) = scores(CLASSES[:4], 3, (4,), rows=ROWS[:4])
    np.testing.assert_array_equal(few, all_)


def test_zero_vectors_give_finite_scores() -> None:
    (found,) = scores(CLASSES, 3, (5,), rows=np.zeros_like(ROWS), queries=np.zeros((3, 6), "f4"))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
