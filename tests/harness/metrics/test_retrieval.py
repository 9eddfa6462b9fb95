"""The metrics of retrieval, against scikit-learn and against definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from harness.core.errors import UserError
from harness.metrics.intervals import estimate
from harness.metrics.registry import RETRIEVAL, find_metric
from harness.metrics.retrieval_metric import RetrievalFold
from harness.metrics.units import group_units
from harness.results.predictions import FoldPredictions


def made(n: int = 60, classes: int = 4, signal: float = 1.0, seed: int = 0, digits: int = 9):
    """Return a fold whose similarities are higher for the true class."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(classes, size=n)
    hot = targets[:, None] == np.arange(classes)
    raw = rng.normal(size=(1, n, classes)) + signal * hot
    similarity = (1 / (1 + np.exp(-raw))).round(digits)
    precision = rng.random((1, n, classes)) * 0.5 + 0.5 * hot
    return RetrievalFold(similarity, precision, rng.random((1, n, classes)), hot)


def eer_of(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the equal error rate as usually computed from scikit-learn's ROC curve."""
    false_alarms, hits, _ = roc_curve(truth, scores, drop_intermediate=False)
    return brentq(lambda x: 1 - x - interp1d(false_alarms, hits)(x), 0.0, 1.0)


@pytest.mark.parametrize("digits", [9, 1])  # with one digit there are many ties
@pytest.mark.parametrize("signal", [0.0, 1.0, 3.0])
def test_eer_is_that_of_the_roc_curve(signal: float, digits: int) -> None:
    fold = made(signal=signal, digits=digits)
    (found,) = find_metric("eer").scores(fold)
    expected = eer_of(fold.similarity[0].ravel(), fold.positives.ravel())
    assert found.value == pytest.approx(expected, abs=1e-9)


def test_eer_is_0_if_a_threshold_separates_and_1_if_it_does_so_wrongly() -> None:
    hot = np.eye(3, dtype=bool)[np.arange(30) % 3]
    fold = RetrievalFold(hot[None].astype(float), np.ones((1, 30, 3)), np.ones((1, 30, 3)), hot)
    assert find_metric("eer").scores(fold)[0].value == 0
    wrong = fold._replace(similarity=1 - fold.similarity)
    assert find_metric("eer").scores(wrong)[0].value == 1


def test_a_class_without_train_clips_has_no_pairs() -> None:
    fold = made()
    precision = fold.precision.copy()
    precision[:, :, 3] = np.nan
    (found,) = find_metric("eer").scores(fold._replace(precision=precision))
    expected = eer_of(fold.similarity[0, :, :3].ravel(), fold.positives[:, :3].ravel())
    assert found.value == pytest.approx(expected, abs=1e-9)
    kept = ~fold.positives[:, 3]
    (found,) = find_metric("retrieval_mAP").scores(fold._replace(precision=precision))
    own = fold.precision[0][fold.positives]
    assert found.value == pytest.approx(own[kept].mean())


def test_the_means_are_over_pairs_of_a_clip_and_a_label() -> None:
    positives = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    similarity = np.array([[[0.9, 0.9, 0.1], [0.8, 0.2, 0.7], [0.5, 0.6, 0.7]]])
    precision = np.array([[[0.4, 0.2, 0.9], [0.9, 0.9, 0.6], [0.1, 0.2, 0.3]]])
    # The nearest train clip of the first has both labels. Two are nearest to the second.
    first = np.array([[[1, 1, 0], [0.5, 0, 0.5], [0, 0, 1]]])
    fold = RetrievalFold(similarity, precision, first, positives)
    assert find_metric("precision_at_1").scores(fold)[0].value == pytest.approx(2.5 / 3)
    assert find_metric("retrieval_mAP").scores(fold)[0].value == pytest.approx(
        (0.4 + 0.2 + 0.6) / 3
    )


@pytest.mark.parametrize("name", RETRIEVAL)
def test_the_influence_is_that_of_leaving_out_a_group(name: str) -> None:
    metric = find_metric(name)
    folds = [made(40, seed=1), made(50, seed=2)]
    sizes = [40, 50]
    groups = [[f"{fold}-{i % 8}" for i in range(n)] for fold, n in enumerate(sizes)]
    units = group_units(groups, sizes)
    found = metric.influence(folds, units)
    whole = [metric.scores(fold)[0].value for fold in folds]
    assert found.value == pytest.approx(np.mean(whole))
    moves = []
    for number, (fold, own) in enumerate(zip(folds, groups, strict=True)):
        without = []
        for group in sorted(set(own)):
            kept = np.array([each != group for each in own])
            left = RetrievalFold(*(values[:, kept] for values in fold[:3]), fold.positives[kept])
            values = whole.copy()
            values[number] = metric.scores(left)[0].value
            without.append(np.mean(values))
        without = np.array(without)
        moves.append((without.mean() - without) * np.sqrt(7 / 8))
    np.testing.assert_allclose(found.moves, np.concatenate(moves), atol=1e-12)


@pytest.mark.parametrize("name", RETRIEVAL)
def test_intervals_cover_the_true_score(name: str) -> None:
    metric = find_metric(name)
    true = metric.scores(made(20_000, seed=99))[0].value
    covered = 0
    for seed in range(100):
        fold = made(80, seed=seed)
        interval = estimate(metric, [fold]).interval
        covered += interval.low <= true <= interval.high
    assert 88 <= covered <= 100


def test_class_scores_have_one_entry_for_each_class() -> None:
    fold = made()
    targets = fold.positives.argmax(1)
    predictions = FoldPredictions(
        "test", tuple("c" * 60), fold.similarity, targets, np.arange(61),
        average_precision=fold.precision, precision_at_1=fold.first,
    )  # fmt: skip
    by_class = find_metric("retrieval_mAP").class_scores(predictions, list("abcd"))
    expected = [fold.precision[0, targets == c, c].mean() for c in range(4)]
    np.testing.assert_allclose(by_class, expected)
    by_class = find_metric("eer").class_scores(predictions, list("abcd"))
    expected = [eer_of(fold.similarity[0, :, c], targets == c) for c in range(4)]
    np.testing.assert_allclose(by_class, expected, atol=1e-9)


def test_other_predictions_are_refused() -> None:
    predictions = FoldPredictions(
        "test", ("a",), np.ones((1, 1, 2)), np.zeros(1, int), np.arange(2)
    )
    for name in RETRIEVAL:
        with pytest.raises(UserError, match="needs rankings, which only the protocol retrieval"):
            find_metric(name).fold(predictions)
