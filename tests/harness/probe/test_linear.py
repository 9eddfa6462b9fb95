from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from harness.probe import lbfgs, linear, logistic
from harness.probe.judge import Check
from harness.probe.linear import LinearFit, LinearPath
from harness.probe.logistic import LogisticObjective
from harness.probe.protocols.linear import fit_until_worse
from harness.probe.sketch import principal_axes

STRENGTHS = [1.0, 1e-2, 1e-4]


def correlated(n: int, size: int, classes: int, seed: int = 0):
    """Rows whose columns are as correlated, and as unequal, as those of embeddings."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(size, size)) * np.arange(1, size + 1) ** -0.7
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    x = (0.4 * rng.normal(size=(classes, size))[y] + rng.normal(size=(n, size))) @ mixing.T
    return x.astype(np.float32), y


def fit_path(rows, targets, n_outputs: int, l2s) -> list[LinearFit]:
    """Fit at each strength in turn, and refine each as the selected one is."""
    path = LinearPath(rows, targets, n_outputs)
    return [path.refine(fit) for fit in [path.fit(l2) for l2 in l2s]]


def sklearn_probabilities(x, y, l2: float):
    model = LogisticRegression(C=1 / (len(x) * l2), solver="newton-cholesky", tol=1e-9)
    return model.fit(x.astype(np.float64), y).predict_proba(x.astype(np.float64))


@pytest.mark.parametrize(("n", "size"), [(150, 20), (40, 90)])
def test_multinomial_equals_scikit_learn(n: int, size: int) -> None:
    x, y = correlated(n, size, 4)
    fits = fit_path(torch.from_numpy(x), torch.from_numpy(y), 4, STRENGTHS)
    for fitted in fits:
        assert fitted.converged
        p = torch.softmax(fitted.logits(torch.from_numpy(x)).double(), 1).numpy()
        np.testing.assert_allclose(p, sklearn_probabilities(x, y, fitted.l2), atol=3e-4)


def test_one_vs_rest_equals_scikit_learn() -> None:
    x, _ = correlated(150, 20, 4)
    rng = np.random.default_rng(1)
    labels = (x @ rng.normal(size=(20, 3)) + 3 * rng.normal(size=(150, 3)) > 2).astype(np.float32)
    fits = fit_path(torch.from_numpy(x), torch.from_numpy(labels), 3, STRENGTHS)
    for fitted in fits:
        assert fitted.converged
        p = torch.sigmoid(fitted.logits(torch.from_numpy(x)).double()).numpy()
        for c in range(3):
            expected = sklearn_probabilities(x, labels[:, c], fitted.l2)[:, 1]
            np.testing.assert_allclose(p[:, c], expected, atol=3e-4)


def test_rows_far_from_zero_fit() -> None:
    x, y = correlated(150, 20, 4)
    x += 30
    for fitted in fit_path(torch.from_numpy(x), torch.from_numpy(y), 4, STRENGTHS):
        assert fitted.converged
        p = torch.softmax(fitted.logits(torch.from_numpy(x)).double(), 1).numpy()
        np.testing.assert_allclose(p, sklearn_probabilities(x, y, fitted.l2), atol=3e-4)


def test_labels_converge_one_by_one_to_what_each_has_alone() -> None:
    x, _ = correlated(150, 20, 4)
    rng = np.random.default_rng(1)
    # Labels of 2 to 140 rows of 150 need different numbers of steps.
    ranks = (x @ rng.normal(size=(20, 5))).argsort(0).argsort(0)
    labels = torch.from_numpy((ranks < [2, 20, 75, 130, 140]).astype(np.float32))
    rows = torch.from_numpy(x)
    for l2, together in zip(STRENGTHS, fit_path(rows, labels, 5, STRENGTHS), strict=True):
        for c in range(5):
            (alone,) = fit_path(rows, labels[:, [c]], 1, [l2])
            torch.testing.assert_close(
                torch.sigmoid(together.logits(rows)[:, [c]]),
                torch.sigmoid(alone.logits(rows)),
                atol=3e-4,
                rtol=0,
            )


def test_rounding_does_not_spoil_the_preconditioner() -> None:
    """Where rows span few directions, its factor outside of them is large: about 1 / l2."""
    x, y = correlated(40, 90, 4)
    rows = torch.from_numpy(x - x.mean(0))
    axes = principal_axes(rows, 64)
    objective = LogisticObjective(rows, torch.from_numpy(y), 1e-6, 4)
    objective.set_preconditioner(axes, torch.zeros(4, 40))
    assert objective.scale_outside.min() > 1e4
    _, _, directions = np.linalg.svd(rows.numpy())
    rng = np.random.default_rng(0)
    for size in rng.uniform(0.1, 10, 20):
        gradient = torch.zeros(4, 91)
        gradient[:, :-1] = torch.from_numpy(size * directions[0])
        found = (gradient * objective.precondition(gradient)).sum(1) / size**2
        exact = 1 / (objective.curvature * axes.variances.max())[:, 0]
        torch.testing.assert_close(found, exact, rtol=0.05, atol=0)


def test_axes_of_many_rows_are_those_of_a_sample() -> None:
    generator = torch.Generator().manual_seed(0)
    deviations = torch.arange(1, 401) ** -1.0
    rows = torch.randn(4100, 400, generator=generator) * deviations
    axes = principal_axes(rows, 256)
    sample = rows[::2].double()
    exact = torch.linalg.svdvals(sample).square() / len(sample)
    largest = axes.variances.double().flip(0)
    torch.testing.assert_close(largest[:64], exact[:64], rtol=0.02, atol=0)
    rest = float(exact.sum() - largest.sum()) / (400 - 256)
    assert axes.rest == pytest.approx(rest, rel=0.05)


def test_fits_with_the_most_axes_converge() -> None:
    x, y = correlated(2100, 300, 4)
    path = LinearPath(torch.from_numpy(x), torch.from_numpy(y), 4)
    assert len(path.axes.axes) == 256
    assert all(path.fit(l2).converged for l2 in (1.0, 1e-2, 1e-4))


def test_fits_on_separable_rows_converge_at_weak_strengths() -> None:
    """Where losses are tiny: their gradient is below any absolute tolerance from the start."""
    x, y = correlated(40, 90, 4)
    new, _ = correlated(400, 90, 4, seed=1)
    (fitted,) = fit_path(torch.from_numpy(x), torch.from_numpy(y), 4, [1e-6])
    assert fitted.converged
    model = LogisticRegression(C=1 / (len(x) * 1e-6), solver="newton-cholesky", tol=1e-10)
    expected = model.fit(x.astype(np.float64), y).predict(new)
    found = fitted.logits(torch.from_numpy(new)).argmax(1).numpy()
    assert (found == expected).mean() > 0.99


def test_refining_continues_a_fit() -> None:
    x, y = correlated(150, 20, 4)
    path = LinearPath(torch.from_numpy(x), torch.from_numpy(y), 4)
    fit, *_ = [path.fit(l2) for l2 in STRENGTHS]
    refined = path.refine(fit)
    assert fit.converged
    assert refined.converged
    assert refined.l2 == fit.l2
    assert refined.steps >= fit.steps
    assert refined.error <= linear._REFINED
    again = path.refine(refined)
    assert again.steps == refined.steps


def test_extrapolating_along_a_path_saves_steps() -> None:
    x, y = correlated(150, 60, 4)
    strengths = [10.0 ** (1 - 7 * i / 11) for i in range(12)]
    rows, targets = torch.from_numpy(x), torch.from_numpy(y)
    path = LinearPath(rows, targets, 4)
    along = sum(path.fit(l2).steps for l2 in strengths)
    alone = sum(LinearPath(rows, targets, 4).fit(l2).steps for l2 in strengths)
    assert along < 0.6 * alone


def test_a_fit_that_runs_out_of_steps_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lbfgs, "_MAX_STEPS", 2)
    x, y = correlated(150, 20, 4)
    fit = LinearPath(torch.from_numpy(x), torch.from_numpy(y), 4).fit(1e-4)
    assert not fit.converged
    assert fit.steps == 2


def test_rows_are_left_as_they_are_and_equal_rows_give_equal_fits() -> None:
    x, y = correlated(60, 10, 3)
    rows = torch.from_numpy(x.copy())
    first, second = (fit_path(rows, torch.from_numpy(y), 3, STRENGTHS) for _ in range(2))
    assert np.array_equal(rows.numpy(), x)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.weight, b.weight)


@pytest.mark.parametrize("one_vs_rest", [False, True])
def test_products_of_blocks_of_rows_equal_those_of_all(
    one_vs_rest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = correlated(150, 20, 4)
    rows, classes = torch.from_numpy(x), torch.from_numpy(y)
    targets = torch.eye(4)[:, classes].contiguous() if one_vs_rest else classes
    unknowns = 0.1 * torch.randn(4, 21, generator=torch.Generator().manual_seed(0))
    expected = LogisticObjective(rows, targets, 0.1, 4).image(unknowns)
    for block, n_rows in ((20 * 64, 64), (1, 4)):
        monkeypatch.setattr(logistic, "_BLOCK", block)
        objective = LogisticObjective(rows, targets, 0.1, 4)
        assert objective.block == n_rows
        torch.testing.assert_close(objective.image(unknowns), expected, atol=1e-5, rtol=1e-5)


def test_a_path_ends_where_a_fit_alone_does() -> None:
    x, y = correlated(150, 20, 4)
    *_, last = fit_path(torch.from_numpy(x), torch.from_numpy(y), 4, STRENGTHS)
    (alone,) = fit_path(torch.from_numpy(x), torch.from_numpy(y), 4, STRENGTHS[-1:])
    rows = torch.from_numpy(x)
    torch.testing.assert_close(
        torch.softmax(last.logits(rows), 1),
        torch.softmax(alone.logits(rows), 1),
        atol=2e-4,
        rtol=0,
    )


def test_classes_without_rows_get_probability_zero() -> None:
    x, y = correlated(60, 10, 3)
    (fitted,) = fit_path(torch.from_numpy(x), torch.from_numpy(2 * y), 6, [1e-2])
    p = torch.softmax(fitted.logits(torch.from_numpy(x)), 1).numpy()
    assert (p[:, [1, 3, 5]] == 0).all()
    np.testing.assert_allclose(p[:, [0, 2, 4]], sklearn_probabilities(x, y, 1e-2), atol=3e-4)


def test_a_single_class_is_certain() -> None:
    x, _ = correlated(20, 10, 2)
    for fitted in fit_path(torch.from_numpy(x), torch.full((20,), 1), 3, STRENGTHS):
        p = torch.softmax(fitted.logits(torch.from_numpy(x)), 1)
        assert torch.equal(p, torch.tensor([0.0, 1.0, 0.0]).expand(20, 3))


def test_labels_on_no_row_or_on_every_row_are_certain() -> None:
    x, y = correlated(60, 10, 2)
    labels = np.stack([y, np.zeros(60), np.ones(60)], 1).astype(np.float32)
    (fitted,) = fit_path(torch.from_numpy(x), torch.from_numpy(labels), 3, [1e-2])
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


@pytest.mark.parametrize("one_vs_rest", [False, True])
def test_constant_rows_give_the_shares_of_the_classes(one_vs_rest: bool) -> None:
    y = np.arange(37) % 3
    targets = torch.from_numpy(np.eye(3, dtype=np.float32)[y] if one_vs_rest else y)
    rows = torch.full((37, 8), 0.1)
    for fitted in fit_path(rows.clone(), targets, 3, STRENGTHS):
        logits = fitted.logits(rows)
        p = torch.sigmoid(logits) if one_vs_rest else torch.softmax(logits, 1)
        np.testing.assert_allclose(p, np.tile(np.bincount(y) / 37, (37, 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("scores", "tried", "best"),
    [
        ([0.1, 0.5, 0.4, 0.4, 0.4, 0.4, 0.9], 6, 1),  # four worse ones in a row end the path
        ([0.1, 0.5, 0.4, 0.4, 0.4, 0.6, 0.5], 7, 5),  # three do not
        ([0.1, 0.5, 0.4, 0.4, 0.5, 0.4, 0.4], 7, 1),  # an equal one is not worse, and loses the tie
        ([0.1, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9], 2, 1),  # nothing beats a perfect score
        ([float("nan")] * 6 + [0.2], 7, 6),
    ],
)
def test_a_path_ends_when_validation_has_fallen(scores, tried: int, best: int) -> None:
    x, y = correlated(40, 5, 2)
    rows = torch.from_numpy(x)
    path = LinearPath(rows, torch.from_numpy(y), 2)
    strengths = [10.0**-i for i in range(7)]
    left = iter([*scores[:tried], 0.25])

    class Scripted:
        perfect = 1.0

        def __call__(self, logits: torch.Tensor) -> Check:
            return Check(next(left), 0.0)

        def better(self, score: float, best: float) -> bool:
            return score > best or (np.isnan(best) and not np.isnan(score))

    fit, check, curve = fit_until_worse(path, strengths, lambda fit: fit.logits(rows), Scripted())
    assert [row[0] for row in curve] == strengths[:tried]
    assert fit.l2 == strengths[best]
    assert check.score == 0.25  # of the refined fit
