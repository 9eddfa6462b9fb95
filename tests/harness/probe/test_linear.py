from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from harness.probe import linear
from harness.probe.linear import fit_path

STRENGTHS = [1.0, 1e-2, 1e-4]


def correlated(n: int, size: int, classes: int, seed: int = 0):
    """Rows whose columns are as correlated, and as unequal, as those of embeddings."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(size, size)) * np.arange(1, size + 1) ** -0.7
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    x = (0.4 * rng.normal(size=(classes, size))[y] + rng.normal(size=(n, size))) @ mixing.T
    return x.astype(np.float32), y


def sklearn_probabilities(x, y, l2: float):
    model = LogisticRegression(C=1 / (len(x) * l2), tol=1e-9, max_iter=50_000)
    return model.fit(x.astype(np.float64), y).predict_proba(x.astype(np.float64))


@pytest.mark.parametrize(("n", "size"), [(150, 20), (40, 90)])
def test_multinomial_equals_scikit_learn(n: int, size: int) -> None:
    x, y = correlated(n, size, 4)
    fits = list(fit_path(torch.from_numpy(x.copy()), torch.from_numpy(y), 4, STRENGTHS))
    for fitted in fits:
        assert fitted.converged
        p = torch.softmax(fitted.logits(torch.from_numpy(x)).double(), 1).numpy()
        np.testing.assert_allclose(p, sklearn_probabilities(x, y, fitted.l2), atol=3e-4)


def test_one_vs_rest_equals_scikit_learn() -> None:
    x, _ = correlated(150, 20, 4)
    rng = np.random.default_rng(1)
    labels = (x @ rng.normal(size=(20, 3)) + 3 * rng.normal(size=(150, 3)) > 2).astype(np.float32)
    fits = fit_path(torch.from_numpy(x.copy()), torch.from_numpy(labels), 3, STRENGTHS)
    for fitted in fits:
        assert fitted.converged
        p = torch.sigmoid(fitted.logits(torch.from_numpy(x)).double()).numpy()
        for c in range(3):
            expected = sklearn_probabilities(x, labels[:, c], fitted.l2)[:, 1]
            np.testing.assert_allclose(p[:, c], expected, atol=3e-4)


def test_single_precision_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = correlated(300, 30, 4)
    double = list(fit_path(torch.from_numpy(x.copy()), torch.from_numpy(y), 4, STRENGTHS))
    monkeypatch.setattr(linear, "_DOUBLE_ELEMENTS", 0)
    single = list(fit_path(torch.from_numpy(x.copy()), torch.from_numpy(y), 4, STRENGTHS))
    rows = torch.from_numpy(x)
    for a, b in zip(double, single, strict=True):
        torch.testing.assert_close(
            torch.softmax(a.logits(rows), 1), torch.softmax(b.logits(rows), 1), atol=2e-3, rtol=0
        )


def test_a_path_ends_where_a_fit_alone_does() -> None:
    x, y = correlated(150, 20, 4)
    *_, last = fit_path(torch.from_numpy(x.copy()), torch.from_numpy(y), 4, STRENGTHS)
    (alone,) = fit_path(torch.from_numpy(x.copy()), torch.from_numpy(y), 4, STRENGTHS[-1:])
    rows = torch.from_numpy(x)
    torch.testing.assert_close(
        torch.softmax(last.logits(rows), 1),
        torch.softmax(alone.logits(rows), 1),
        atol=2e-4,
        rtol=0,
    )


def test_classes_without_rows_get_probability_zero() -> None:
    x, y = correlated(60, 10, 3)
    (fitted,) = fit_path(torch.from_numpy(x.copy()), torch.from_numpy(2 * y), 6, [1e-2])
    p = torch.softmax(fitted.logits(torch.from_numpy(x)), 1).numpy()
    assert (p[:, [1, 3, 5]] == 0).all()
    np.testing.assert_allclose(p[:, [0, 2, 4]], sklearn_probabilities(x, y, 1e-2), atol=3e-4)


def test_a_single_class_is_certain() -> None:
    x, _ = correlated(20, 10, 2)
    for fitted in fit_path(torch.from_numpy(x.copy()), torch.full((20,), 1), 3, STRENGTHS):
        p = torch.softmax(fitted.logits(torch.from_numpy(x)), 1)
        assert torch.equal(p, torch.tensor([0.0, 1.0, 0.0]).expand(20, 3))


def test_labels_on_no_row_or_on_every_row_are_certain() -> None:
    x, y = correlated(60, 10, 2)
    labels = np.stack([y, np.zeros(60), np.ones(60)], 1).astype(np.float32)
    (fitted,) = fit_path(torch.from_numpy(x.copy()), torch.from_numpy(labels), 3, [1e-2])
    p = torch.sigmoid(fitted.logits(torch.from_numpy(x))).numpy()
    assert (p[:, 1] == 0).all()
    assert (p[:, 2] == 1).all()
    np.testing.assert_allclose(p[:, 0], sklearn_probabilities(x, y, 1e-2)[:, 1], atol=3e-4)


@pytest.mark.parametrize("n", [1, 2, 12])
def test_constant_columns_and_few_rows_fit(n: int) -> None:
    rows = torch.zeros(n, 5)
    rows[:, 0] = torch.arange(n)
    targets = torch.arange(n) % 2
    for fitted in fit_path(rows.clone(), targets, 2, STRENGTHS):
        assert torch.isfinite(fitted.logits(rows)).all()
