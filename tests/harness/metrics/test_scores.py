"""Scene metrics against scikit-learn, on random and on degenerate inputs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from harness.core.errors import UserError
from harness.metrics.ranking import Ranking
from harness.metrics.registry import find_metric, metrics_of, scene_metric

RANDOM = settings(max_examples=40, deadline=None, derandomize=True)
RANKED = ("mAP", "aucroc", "d_prime")


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and multi-hot targets; few decimals make ties, any density absent classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, classes = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    probabilities = np.round(rng.random((n, classes)), draw(st.integers(0, 6)))
    targets = rng.random((n, classes)) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    return probabilities.astype(np.float32), targets.astype(np.float32)


def by_class_reference(probabilities, targets, weights=None):
    """Average precision and AUC of each class by scikit-learn, NaN where undefined."""
    weights = np.ones(len(targets)) if weights is None else weights
    precisions, aucs = [], []
    for p, t in zip(probabilities.T, targets.T, strict=True):
        positive, negative = (t * weights).sum(), ((1 - t) * weights).sum()
        precisions.append(
            average_precision_score(t, p, sample_weight=weights) if positive else np.nan
        )
        aucs.append(roc_auc_score(t, p, sample_weight=weights) if positive and negative else np.nan)
    return np.array(precisions), np.array(aucs)


@RANDOM
@given(predictions())
def test_macro_means_are_sklearn_s_over_the_defined_classes(case):
    probabilities, targets = case
    precisions, aucs = by_class_reference(probabilities, targets)
    for metric, by_class in (("mAP", precisions), ("aucroc", aucs)):
        got = scene_metric(metric).score(probabilities, targets)
        defined = ~np.isnan(by_class)
        assert got.unscored == tuple(np.flatnonzero(~defined))
        if defined.any():
            assert got.value == pytest.approx(by_class[defined].mean(), abs=1e-12)
        else:
            assert np.isnan(got.value)


@RANDOM
@given(predictions(), st.integers(0, 2**32))
def test_weighted_ranking_is_sklearn_s_with_sample_weight(case, seed):
    probabilities, targets = case
    weights = np.random.default_rng(seed).integers(0, 4, (len(targets), 2)).astype(float)
    ranked = Ranking(probabilities, targets > 0).scores(weights)
    for b in range(2):
        precisions, aucs = by_class_reference(probabilities, targets, weights[:, b])
        np.testing.assert_allclose(ranked.average_precision[:, b], precisions, atol=1e-12)
        np.testing.assert_allclose(ranked.auc[:, b], aucs, atol=1e-12)


@RANDOM
@given(predictions())
def test_original_is_what_heareval_computes(case):
    probabilities, targets = case
    if targets.shape[1] == 1:  # scikit-learn then takes it for a binary problem, not for labels
        return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        precision = average_precision_score(targets, probabilities, average="macro")
        auc = roc_auc_score(targets, probabilities, average="macro")
        d_prime = np.mean(norm.ppf(roc_auc_score(targets, probabilities, average=None)) * 2**0.5)
    for metric, expected in (("mAP", precision), ("aucroc", auc), ("d_prime", d_prime)):
        got = scene_metric(metric).original(probabilities, targets)
        assert got == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_d_prime_is_the_mean_over_classes_of_the_transformed_auc():
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 3
    probabilities = rng.random((60, 3)) + 0.3 * np.eye(3)[targets]
    _, aucs = by_class_reference(probabilities, np.eye(3)[targets])
    got = scene_metric("d_prime").score(probabilities, targets)
    assert got.value == pytest.approx(np.mean(2**0.5 * norm.ppf(aucs)))
    original = scene_metric("d_prime").original(probabilities, targets)
    assert original == pytest.approx(got.value)


def test_a_perfect_class_counts_as_half_a_pair_short_of_perfect():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    targets = np.array([0, 0, 1, 1])
    got = scene_metric("d_prime").score(probabilities, targets)
    assert got.value == pytest.approx(2**0.5 * norm.ppf(1 - 1 / (2 * 2 * 2)))
    assert scene_metric("d_prime").original(probabilities, targets) == np.inf
    worst = scene_metric("d_prime").score(probabilities, np.array([1, 1, 0, 0]))
    assert worst.value == pytest.approx(-got.value)
    assert scene_metric("aucroc").score(probabilities, np.array([0, 0, 1, 1])).value == 1.0


@RANDOM
@given(predictions())
def test_accuracy_of_multiclass_targets(case):
    probabilities, targets = case
    classes = targets.shape[1]
    true = np.random.default_rng(len(targets)).integers(0, classes, len(targets))
    predicted = probabilities.argmax(axis=1)
    expected = accuracy_score(true, predicted)
    for targets_form in (true, np.eye(classes)[true]):
        assert scene_metric("top1_acc").score(probabilities, targets_form).value == pytest.approx(
            expected
        )
        assert scene_metric("pitch_acc").score(probabilities, targets_form).value == pytest.approx(
            expected
        )
    assert scene_metric("top1_acc").score(probabilities, true).unscored == ()


def test_chroma_accuracy_forgives_octaves():
    probabilities = np.eye(26)[[0, 12, 25, 5]]
    assert scene_metric("pitch_acc").score(probabilities, np.array([0, 0, 1, 6])).value == 0.25
    assert scene_metric("chroma_acc").score(probabilities, np.array([0, 0, 1, 6])).value == 0.75


def test_top1_on_multi_hot_targets_takes_the_first_label_and_class_0_for_none():
    probabilities = np.array([[0.1, 0.8, 0.3], [0.1, 0.2, 0.9], [0.9, 0.1, 0.2]])
    targets = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0]], dtype=np.float32)
    assert scene_metric("top1_acc").score(probabilities, targets).value == pytest.approx(2 / 3)


def test_all_equal_probabilities_are_chance():
    targets = np.array([0, 1, 1, 2])
    flat = np.full((4, 3), 1 / 3)
    assert scene_metric("aucroc").score(flat, targets).value == 0.5
    assert scene_metric("d_prime").score(flat, targets).value == 0.0
    assert scene_metric("mAP").score(flat, targets).value == pytest.approx(1 / 3)  # mean prevalence
    assert scene_metric("top1_acc").score(flat, targets).value == 0.25  # the first of equals


@pytest.mark.parametrize("metric", RANKED)
def test_one_clip(metric):
    clip = np.array([[0.2, 0.8]]), np.array([1])
    got, original = scene_metric(metric).score(*clip), scene_metric(metric).original(*clip)
    if metric == "mAP":
        assert (got.value, got.unscored, original) == (1.0, (0,), 0.5)
    else:
        assert np.isnan(got.value)
        assert np.isnan(original)
        assert got.unscored == (0, 1)


@pytest.mark.parametrize("metric", metrics_of("scene"))
def test_a_nan_probability_makes_the_score_nan(metric):
    clips = np.array([[0.2, np.nan], [0.5, 0.5]]), np.array([1, 0])
    got = scene_metric(metric).score(*clips)
    assert np.isnan(got.value)
    assert np.isnan(scene_metric(metric).original(*clips))
    assert got.unscored == (0, 1)


@pytest.mark.parametrize(
    ("probabilities", "targets", "message"),
    [
        (np.ones((0, 3)), np.zeros(0, dtype=int), "both at least 1"),
        (np.ones((2, 3)), np.array([0, 3]), "0..2"),
        (np.ones((2, 3)), np.array([0, 1, 2]), "multi-hot"),
        (np.ones((2, 3)), np.ones((2, 4)), "multi-hot"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(probabilities, targets, message):
    with pytest.raises(ValueError, match=message):
        scene_metric("mAP").score(probabilities, targets)


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'top1_acc'"):
        scene_metric("top_acc").score(np.ones((1, 1)), np.zeros(1, dtype=int))


def test_every_metric_rises_with_quality():
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 24, 500)
    noise = rng.random((500, 24))
    for metric in metrics_of("scene"):
        values = [
            scene_metric(metric).score(noise + s * np.eye(24)[targets], targets).value
            for s in (0, 0.3, 1)
        ]
        assert values == sorted(values)
        assert find_metric(metric).higher_is_better
