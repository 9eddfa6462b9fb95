"""Differences between arms: what they are made of, and coverage on synthetic data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.ablation.differences import (
    ArmDifference,
    ArmScores,
    NoiseFloor,
    difference,
    noise_floor,
    ordering,
)
from harness.metrics.jackknife import share_influence
from harness.metrics.units import Units, clip_units


def arm(values, noise: float = 0.0, seed: int = 0, n: int = 100) -> ArmScores:
    """Synthetic scores (seeds, tasks) with a standard error of ``noise``, independent of others."""
    scores = np.array(values, float)
    rng = np.random.default_rng(seed)
    moves = noise / np.sqrt(n) * rng.normal(size=(scores.shape[1], len(scores), n))
    return ArmScores(scores, tuple(moves))


def clips(n: int, tasks: int = 1) -> list[Units]:
    return [clip_units([n])] * tasks


def test_without_noise_of_clips_it_is_welchs_interval():
    one, other = [0.50, 0.53, 0.52], [0.41, 0.47]
    found = difference(arm([[v] for v in one]), arm([[v] for v in other]), [0], clips(100))
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(one) - np.mean(other))
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))
    assert found.method.endswith("seeds and test units")


def test_with_one_seed_it_covers_clips_alone_and_says_so():
    found = difference(
        arm([[0.6]], 0.03, n=10_000), arm([[0.5]], 0.04, seed=1, n=10_000), [0], clips(10_000)
    )
    assert "test units alone: one seed" in found.method
    assert found.high - found.value == pytest.approx(1.96 * 0.05, rel=0.05)


def test_the_seeds_of_the_other_arm_count_where_one_has_a_single_seed():
    alone = arm([[0.60]], 0.001), arm([[0.55]], 0.001, seed=1)
    several = arm([[0.60]], 0.001), arm([[0.50], [0.60], [0.55]], 0.001, seed=1)
    narrow, wide = (difference(*sides, [0], clips(100)) for sides in (alone, several))
    # It is taken to spread as they do.
    expected = stats.t.ppf(0.975, 2) * np.std([0.50, 0.60, 0.55], ddof=1) * np.sqrt(1 / 3 + 1)
    assert wide.high - wide.value == pytest.approx(expected, rel=0.01)
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)
    assert "both arms' seeds assumed to have the same variance" in wide.method


def test_few_clips_widen_it():
    moves = [np.resize([x, -x], 8)[None] for x in (0.03, -0.04)]
    sides = [ArmScores(np.array([[v]]), (m,)) for v, m in zip((0.6, 0.5), moves, strict=True)]
    found = difference(*sides, [0], clips(8))
    expected = stats.t.ppf(0.975, 7) * 0.07 * np.sqrt(8)
    assert found.high - found.value == pytest.approx(expected)


def test_what_clips_do_to_all_models_alike_cancels():
    shared = 0.2 * np.random.default_rng(0).normal(size=(1, 100))
    sides = [ArmScores(np.array([[v]]), (shared,)) for v in (0.6, 0.5)]
    found = difference(*sides, [0], clips(100))
    assert "none" in found.method or found.high - found.low < 1e-6


def test_a_mean_takes_the_seeds_that_have_every_task():
    scores = arm([[0.1, 0.3], [np.nan, 0.9], [0.3, 0.5]])
    assert scores.means([0, 1]) == pytest.approx([0.2, 0.4])
    assert scores.means([1]) == pytest.approx([0.3, 0.9, 0.5])
    found = difference(scores, arm([[0.0, 0.0], [0.2, 0.0]]), [0, 1], clips(100, 2))
    assert found.value == pytest.approx(0.25)


def test_without_a_complete_seed_there_is_no_difference():
    found = difference(arm([[0.1, np.nan]]), arm([[0.1, 0.2]]), [0, 1], clips(100, 2))
    assert np.isnan(found.value)
    assert ordering(found, NoiseFloor(0.1, 0.1), found.p) == "not known"


def test_few_units_have_no_interval():
    found = difference(arm([[0.1]], n=5), arm([[0.2]], n=5), [0], clips(5))
    assert found.value == pytest.approx(-0.1)
    assert np.isnan(found.low)


def test_the_noise_floor_is_the_spread_of_seeds():
    floor = noise_floor(arm([[0.50], [0.56], [0.53]]), [0])
    assert floor.sd == pytest.approx(0.03)
    assert floor.largest == pytest.approx(0.06)
    assert np.isnan(noise_floor(arm([[0.5]]), [0]).largest)


@pytest.mark.parametrize(
    ("value", "p", "largest", "said"),
    [
        (0.05, 0.01, 0.02, "higher"),
        (-0.05, 0.01, 0.02, "lower"),
        (0.05, 0.01, 0.06, "no ordering: inside the noise floor"),
        (0.05, 0.12, 0.02, "no ordering: p = 0.12"),
        (0.05, np.nan, 0.02, "no ordering: there is no interval"),
        (0.05, 0.01, np.nan, "no ordering: no noise floor with one seed"),
        (np.nan, np.nan, 0.02, "not known"),
    ],
)
def test_an_ordering_needs_a_small_p_and_the_noise_floor(value, p, largest, said):
    found = ArmDifference(value, value - 0.04, value + 0.04, "")
    assert ordering(found, NoiseFloor(largest / 2, largest), p) == said


def test_p_is_that_of_the_interval():
    sides = arm([[0.50], [0.56], [0.53]], 1e-4), arm([[0.60], [0.61], [0.65]], 1e-4, seed=1)
    found = difference(*sides, [0], clips(100))
    welch = stats.ttest_ind(*(side.values[:, 0] for side in sides), equal_var=False)
    assert found.p == pytest.approx(welch.pvalue, rel=0.01)
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


# Coverage on synthetic data


def study_of_two_arms(
    rng: np.random.Generator, seeds: tuple[int, int], spread: tuple[float, float], n: int
) -> tuple[list[ArmScores], list[Units]]:
    """Two synthetic arms on three tasks.

    A clip is right where the seed's skill, the clip's easiness (for all, and for the arm) and
    chance add up to more than 0.
    """
    scores = [np.empty((s, 3)) for s in seeds]
    moves = [np.empty((3, s, n)) for s in seeds]
    skills = [rng.normal(0.5, by, s) for s, by in zip(seeds, spread, strict=True)]
    for task in range(3):
        easiness = rng.normal(size=n)
        for side, skill in enumerate(skills):
            own = 0.5 * rng.normal(size=n)
            for row, of_seed in enumerate(skill):
                right = of_seed + easiness + own + 0.7 * rng.normal(size=n) > 0
                found = share_influence([right.astype(float)], clip_units([n]))
                scores[side][row, task] = found.value
                moves[side][task, row] = found.moves
    arms = [ArmScores(values, tuple(each)) for values, each in zip(scores, moves, strict=True)]
    return arms, clips(n, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "spread", "at_least"),
    [
        ((3, 3), (0.0, 0.0), 0.93),
        ((3, 3), (0.1, 0.1), 0.93),
        ((2, 2), (0.1, 0.1), 0.93),
        ((2, 3), (0.1, 0.1), 0.93),
        ((1, 3), (0.1, 0.1), 0.93),
        ((1, 3), (0.4, 0.4), 0.93),
        ((2, 2), (0.4, 0.4), 0.92),
        ((3, 3), (0.4, 0.4), 0.93),
        ((3, 3), (0.3, 0.06), 0.90),
        ((2, 2), (0.3, 0.06), 0.88),
    ],
)
def test_coverage_on_synthetic_data(seeds, spread, at_least):
    rng = np.random.default_rng(1)
    # Skill, easiness for all, easiness for the arm and chance are normal, and so is their sum.
    expected = [stats.norm.cdf(0.5 / np.sqrt(by**2 + 1 + 0.5**2 + 0.7**2)) for by in spread]
    held = 0
    for _ in range(400):
        sides, units = study_of_two_arms(rng, seeds, spread, 120)
        found = difference(*sides, [0, 1, 2], units)
        held += found.low <= expected[0] - expected[1] <= found.high
    assert held / 400 >= at_least
