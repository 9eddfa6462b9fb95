"""Two models on tasks with groups: tests and intervals over groups, and their error rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from support.probe_seeds import accuracy_seed, probe_seed

from harness.analysis.compare.measured import Measured
from harness.analysis.compare.paired import difference
from harness.metrics.registry import find_metric
from harness.metrics.scene_metric import SceneFold
from harness.metrics.units import clip_units, group_units


def speakers(differences: list[float], size: int = 100) -> tuple[Measured, Measured]:
    """Two models that differ by so much on each speaker."""
    a, b = np.zeros((len(differences), size)), np.zeros((len(differences), size))
    for row, each in enumerate(differences):
        a[row, : int(0.5 * size) + round(size * max(each, 0))] = 1
        b[row, : int(0.5 * size) + round(size * max(-each, 0))] = 1
    groups = np.repeat(np.arange(len(differences)), size)
    return accuracy_seed(a.ravel(), groups=[groups]), accuracy_seed(b.ravel(), groups=[groups])


def test_six_speakers_are_six_answers():
    by_speaker = [-0.36, 0.34, 0.11, 0.13, 0.09, 0.16]
    a, b = speakers(by_speaker)
    found = difference([a], [b])
    expected = stats.ttest_1samp(by_speaker, 0)
    interval = expected.confidence_interval()
    assert found.value == pytest.approx(np.mean(by_speaker))
    # Kurtosis leaves a little less than five degrees of freedom.
    assert found.low == pytest.approx(interval.low, abs=0.03)
    assert found.high == pytest.approx(interval.high, abs=0.03)
    # The exact sign-flip test: 24 of the 64 signs give a mean at least as far from 0.
    signs = 1 - 2 * ((np.arange(64)[:, None] >> np.arange(6)) & 1)
    reached = np.abs(signs @ by_speaker) >= abs(sum(by_speaker)) - 1e-9
    assert found.p == pytest.approx(reached.mean())
    assert found.p > 0.3
    assert found.n_groups == 6
    assert "sign-flip permutation of groups, t interval; over 6 groups, few" in found.method
    # Clips alone would have called the first one better.
    clips = difference([a], [b], grouped=False)
    assert clips.p < 0.001
    assert clips.n_groups is None
    assert found.design_effect == pytest.approx(
        (found.high - found.low) ** 2 / (clips.high - clips.low) ** 2, rel=0.6
    )


@pytest.mark.parametrize("n_speakers", [1, 3, 5])
def test_few_speakers_give_no_verdict(n_speakers):
    a, b = speakers([0.3] * n_speakers)
    found = difference([a], [b])
    assert found.value == pytest.approx(0.3)
    assert np.isnan([found.low, found.high, found.p]).all()
    assert found.method == (f"none: too few test groups ({n_speakers}); 6 are needed")


def test_six_equal_speakers_are_significant():
    a, b = speakers([0.3, 0.31, 0.29, 0.3, 0.32, 0.28])
    found = difference([a], [b])
    assert found.p == pytest.approx(2 / 64)
    assert 0 < found.low < found.value < found.high


def test_folds_weigh_as_the_score_does():
    rng = np.random.default_rng(0)
    sizes = (40, 90)
    shares = [[rng.integers(0, 2, n).astype(float) for n in sizes] for _ in range(2)]
    groups = [(np.arange(n) // 5 + 100 * f).astype(str) for f, n in enumerate(sizes)]
    sides = [accuracy_seed(*side, groups=groups) for side in shares]
    found = difference([sides[0]], [sides[1]])
    totals = [
        np.array([(x - y)[g == name].sum() / len(g) / 2 for name in dict.fromkeys(g)])
        for x, y, g in zip(*shares, groups, strict=True)
    ]
    assert found.value == pytest.approx(np.concatenate(totals).sum())
    variance = sum(len(t) / (len(t) - 1) * ((t - t.mean()) ** 2).sum() for t in totals)
    assert found.parts[0].variance == pytest.approx(variance)


def test_seeds_add_their_variance_to_that_of_the_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 10)
    seeds = [
        [
            accuracy_seed(rng.random(300) < chance, groups=[groups], seed=s, protocol="mlp")
            for s in range(3)
        ]
        for chance in (0.8, 0.6)
    ]
    found = difference(*seeds)
    assert "over 30 groups, few and seeds (3 and 3)" in found.method
    assert len(found.parts) == 3
    single = difference(seeds[0][:1], seeds[1][:1])
    assert "allowance for training noise" in single.method
    assert single.parts[1].variance > 0


# Error rates


def correlated(
    rng: np.random.Generator, n_groups: int, size: int, icc: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two equally good models whose success depends on the group, each in its own way."""
    groups = np.repeat(np.arange(n_groups), size)
    both = rng.normal(size=len(groups))
    sides = []
    for _ in range(2):
        effect = np.sqrt(icc) * rng.normal(size=n_groups)[groups]
        own = np.sqrt(1 - icc) * rng.normal(size=len(groups))
        sides.append(0.8 + 0.7 * both + effect + own > 0)
    return sides[0], sides[1], groups


def false_positives(n_groups: int, size: int, icc: float, trials: int) -> tuple[float, float]:
    """Share of trials in which p is below 5 %, and in which the interval lacks 0."""
    rng = np.random.default_rng(0)
    called, missed = 0, 0
    for _ in range(trials):
        a, b, groups = correlated(rng, n_groups, size, icc)
        found = difference([accuracy_seed(a, groups=[groups])], [accuracy_seed(b, groups=[groups])])
        called += found.p < 0.05
        missed += not found.low <= 0 <= found.high
    return called / trials, missed / trials


def test_equal_models_are_seldom_called_different_over_groups():
    called, missed = false_positives(20, 10, 0.5, 250)
    assert called <= 0.08
    assert missed <= 0.09


@pytest.mark.slow
@pytest.mark.parametrize("icc", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("n_groups", "size"), [(6, 20), (12, 10), (20, 10), (60, 5)])
def test_false_positives_over_groups(n_groups, size, icc):
    called, missed = false_positives(n_groups, size, icc, 1500)
    # At most 6 of 100, up to two standard errors of the simulation.
    assert called <= 0.06 + 0.012
    assert missed <= 0.07 + 0.012


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["aucroc", "mAP"])
@pytest.mark.parametrize("icc", [0.0, 0.5])
def test_false_positives_of_macro_metrics_over_groups(metric, icc):
    rng = np.random.default_rng(0)
    called = 0
    groups = np.repeat(np.arange(20), 10)
    units, clips = group_units([groups.astype(str)], [200]), clip_units([200])
    for _ in range(600):
        targets = rng.integers(0, 3, 200)
        sides = []
        for _ in range(2):
            effect = np.sqrt(icc) * rng.normal(size=(20, 3))[groups]
            scores = effect + np.sqrt(1 - icc) * rng.normal(size=(200, 3)) + np.eye(3)[targets]
            fold = [SceneFold(scores[None], targets)]
            by_unit, by_clip = (
                find_metric(metric).influence(fold, each) for each in (units, clips)
            )
            sides.append(probe_seed(by_unit, by_clip, metric=metric, answers=200))
        called += difference([sides[0]], [sides[1]]).p < 0.05
    assert called / 600 <= 0.06 + 0.02
