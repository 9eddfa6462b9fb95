"""Paired accuracies: the tests beside scipy's and enumeration, and the interval's coverage."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import optimize, stats

from harness.analysis.compare.proportions import (
    clip_part,
    score_interval,
    score_p_within,
    sign_flip_test,
)

Z = stats.norm.ppf(0.975)


def answers(first: int, second: int, n: int) -> np.ndarray:
    """Differences of two models: so many clips that one alone has right."""
    return np.concatenate([np.ones(first), -np.ones(second), np.zeros(n - first - second)])


@pytest.mark.parametrize(
    ("first", "second", "n"), [(9, 1, 30), (0, 0, 4), (5, 0, 5), (3, 3, 10), (400, 300, 5000)]
)
def test_it_is_mcnemars_exact_test(first, second, n):
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    found = sign_flip_test([answers(first, second, n)])
    assert found.p == pytest.approx(expected)
    assert found.method == "exact McNemar"


def test_equal_folds_change_nothing():
    each = answers(9, 2, 30)
    mixed = np.random.default_rng(0).permutation(each)
    assert sign_flip_test(np.split(mixed, 5)).p == pytest.approx(sign_flip_test([each]).p)


def by_enumeration(folds: Sequence[np.ndarray]) -> float:
    """P of as large a mean over folds, over all signs of all clips."""
    steps = np.concatenate([fold / len(fold) for fold in folds])
    signs = np.array(list(itertools.product((1, -1), repeat=len(steps))))
    return float(np.mean(np.abs(signs @ steps) >= abs(steps.sum()) - 1e-9))


@pytest.mark.parametrize("scale", [1, 3])
def test_unequal_folds_are_weighted_as_in_the_score(scale):
    rng = np.random.default_rng(scale)
    for _ in range(5):
        folds = [rng.integers(-scale, scale + 1, n) / scale for n in (2, 3, 7)]
        found = sign_flip_test(folds)
        assert found.p == pytest.approx(by_enumeration(folds))
        assert found.method.endswith("weighted by fold")


def test_averaged_runs_give_scipys_permutation_test():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 11, (2, 11)) / 10
    scipys = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    found = sign_flip_test([a - b])
    assert found.method == "exact sign-flip permutation"
    assert found.p == pytest.approx(scipys.pvalue)


def test_many_outcomes_are_drawn_close_to_what_enumeration_gives():
    rng = np.random.default_rng(0)
    folds = [rng.integers(-10, 12, n) / 10 for n in (40, 50, 60, 70)]
    found = sign_flip_test(folds)
    steps = np.concatenate([fold / len(fold) for fold in folds])
    normal = 2 * stats.norm.sf(abs(steps.sum()) / np.sqrt((steps**2).sum()))
    assert found.method.endswith("19,999 draws")
    assert found.p == pytest.approx(normal, abs=0.02)
    assert found == sign_flip_test(folds)


@pytest.mark.parametrize(
    ("first", "second", "n"), [(9, 1, 30), (12, 7, 88), (1, 0, 44), (60, 90, 500)]
)
def test_the_ends_of_the_interval_are_where_the_score_test_rejects(first, second, n):
    def minus_likelihood(share: float, difference: float) -> float:
        chances = np.array([share + difference, share, 1 - 2 * share - difference])
        counts = np.array([first, second, n - first - second])
        kept = counts > 0
        return -float(counts[kept] @ np.log(np.maximum(chances[kept], 1e-300)))

    for end in score_interval([answers(first, second, n)]):
        bounds = (max(0.0, -end), (1 - end) / 2)
        share = optimize.minimize_scalar(
            minus_likelihood, bounds=bounds, args=(end,), method="bounded", options={"xatol": 1e-12}
        ).x
        error = np.sqrt((2 * share + end - end**2) / n)
        assert abs((first - second) / n - end) / error == pytest.approx(Z, rel=1e-4)


def test_no_difference_and_nothing_but_differences_have_a_width():
    low, high = score_interval([answers(0, 0, 20)])
    assert low == pytest.approx(-(Z**2) / (20 + Z**2))
    assert high == pytest.approx(Z**2 / (20 + Z**2))
    assert score_interval([answers(5, 0, 5)])[1] == 1.0
    assert score_interval([answers(0, 5, 5)])[0] == -1.0


def test_equal_folds_have_the_interval_of_all_their_clips():
    each = np.random.default_rng(0).permutation(answers(9, 2, 30))
    assert score_interval(np.split(each, 5)) == pytest.approx(score_interval([each]))


def test_the_part_of_the_clips_is_that_of_the_bootstrap():
    rng = np.random.default_rng(0)
    folds = [rng.integers(-3, 4, n) / 3 for n in (30, 50)]
    errors = [
        stats.bootstrap((fold,), np.mean, n_resamples=9999, rng=rng).standard_error
        for fold in folds
    ]
    part = clip_part(folds)
    assert part.freedom == 78
    assert part.variance == pytest.approx(np.sum(np.square(errors)) / 4 * 80 / 78, rel=0.05)
    alone = clip_part(folds[:1])
    assert alone.variance == pytest.approx(folds[0].var(ddof=1) / 30)


def test_half_a_clip_on_each_side_is_bonett_and_prices_with_less():
    one = clip_part([answers(3, 1, 40)], added=1.0)
    share = (4 + 2) / 42 - (2 / 42) ** 2
    assert one.variance == pytest.approx(share / 42 * 40 / 39)
    assert clip_part([np.zeros(9)], added=0.5).variance > 0


# Coverage


def exact_coverage(n: int, discordance: float, difference: float) -> float:
    """Chance that the interval holds the truth, over all outcomes of n clips."""
    chances = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    covered = 0.0
    for first in range(n + 1):
        for second in range(n + 1 - first):
            weight = stats.multinomial.pmf([first, second, n - first - second], n, chances)
            if weight > 1e-7:
                low, high = score_interval([answers(first, second, n)])
                covered += weight * (low <= difference <= high)
    return covered


def simulated_coverage(
    sizes: Sequence[int], discordance: float, difference: float, trials: int
) -> float:
    rng = np.random.default_rng(0)
    chances = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    held = 0
    for _ in range(trials):
        drawn = [rng.multinomial(n, chances) for n in sizes]
        low, high = score_interval(
            [answers(first, second, n) for (first, second, _), n in zip(drawn, sizes, strict=True)]
        )
        held += low <= difference <= high
    return held / trials


@pytest.mark.parametrize(("n", "discordance", "share"), [(10, 0.2, 0.5), (20, 0.3, 0.0)])
def test_few_clips_are_covered(n, discordance, share):
    assert exact_coverage(n, discordance, share * discordance) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("discordance", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("n", [10, 20, 40, 88])
def test_coverage_is_close_to_nominal(n, discordance, share):
    found = exact_coverage(n, discordance, share * discordance)
    assert found >= 0.93
    if n >= 88:
        assert found <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("discordance", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("n", [500, 5000])
def test_coverage_on_many_clips(n, discordance, share):
    assert 0.93 <= simulated_coverage([n], discordance, share * discordance, 4000) <= 0.97


GUNSHOT = [14, 13, 13, 12, 12, 12, 12]


@pytest.mark.parametrize(
    ("sizes", "discordance", "difference"),
    [(GUNSHOT, 0.2, 0.1), ([4, 6, 10, 14, 16, 18, 20], 0.2, 0)],
)
def test_unequal_folds_are_covered(sizes, discordance, difference):
    assert 0.93 <= simulated_coverage(sizes, discordance, difference, 300) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("discordance", [0.1, 0.2, 0.3])
@pytest.mark.parametrize(
    "sizes", [GUNSHOT, [4, 6, 10, 14, 16, 18, 20], [30, 60, 200, 100, 50, 40, 20]]
)
def test_coverage_of_unequal_folds(sizes, discordance, share):
    assert 0.93 <= simulated_coverage(sizes, discordance, share * discordance, 4000) <= 0.975


@pytest.mark.parametrize("effect", [1.0, 2.5])
@pytest.mark.parametrize(("first", "second", "n"), [(9, 4, 30), (12, 7, 88), (0, 0, 44)])
def test_equivalence_agrees_with_the_interval(first, second, n, effect):
    each = [answers(first, second, n)]
    low, high = score_interval(each, effect)
    # Both ends leave 2.5 % out, so a margin at the farther end is rejected at that level.
    margin = max(high, -low)
    assert score_p_within(each, margin, effect) == pytest.approx(0.025)
    assert score_p_within(each, 0.9 * margin, effect) > 0.025
    opposite = [answers(second, first, n)]
    assert score_p_within(opposite, margin, effect) == pytest.approx(0.025)


def test_equal_folds_change_nothing_of_equivalence():
    each = np.random.default_rng(0).permutation(answers(3, 2, 60))
    assert score_p_within(np.split(each, 5), 0.2) == pytest.approx(score_p_within([each], 0.2))


def test_models_that_differ_by_the_margin_are_seldom_called_equivalent():
    rng = np.random.default_rng(0)
    margin, called = 0.1, 0
    for _ in range(1000):
        draw = rng.random(150)
        each = 1.0 * (draw < 0.2) - (draw > 0.9)
        called += score_p_within([each], margin) < 0.05
    assert called / 1000 == pytest.approx(0.05, abs=0.02)
