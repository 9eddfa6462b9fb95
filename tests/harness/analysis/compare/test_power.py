"""Power of comparisons: beside other computations, and beside simulated test sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from support.probe_seeds import accuracy_seed, probe_seed

from harness.analysis.compare.measured import Measured
from harness.analysis.compare.paired import PairedDifference, difference
from harness.analysis.compare.power import Design
from harness.analysis.compare.proportions import (
    Flips,
    attainable_level,
    mcnemar_power,
    sign_flip_test,
)
from harness.metrics.jackknife import Influence
from harness.metrics.units import clip_units
from harness.metrics.variance import Part

Sides = tuple[list[Measured], list[Measured]]


def scored(value: float, moves: np.ndarray, seed: int = 0) -> Measured:
    """A seed of a metric that is no accuracy."""
    found = Influence(value, moves, clip_units([len(moves)]))
    return probe_seed(found, metric="mAP", seed=seed, answers=10 * len(moves))


def test_one_t_test_is_the_noncentral_t():
    error, freedom = 0.02, 30.0
    design = Design((Part(error**2, freedom),))
    critical = stats.t.ppf(0.975, freedom)
    rng = np.random.default_rng(0)
    drawn = (rng.normal(size=200_000) + 2.5) / np.sqrt(rng.chisquare(freedom, 200_000) / freedom)
    assert design.power(2.5 * error) == pytest.approx(np.mean(np.abs(drawn) > critical), abs=0.004)
    # With few degrees of freedom, and far away, it is a number too.
    assert Design((Part(1e-8, 1.5),)).power(0.5) == pytest.approx(1.0)
    smallest = design.smallest_difference(0.9)
    assert design.power(smallest) == pytest.approx(0.9)
    known = Design((Part(error**2, 1e9),)).smallest_difference()
    assert known == pytest.approx(error * stats.norm.ppf([0.975, 0.8]).sum(), rel=1e-4)


def test_mcnemars_power_is_that_of_all_outcomes():
    n, share, gap = 25, 0.4, 0.25
    first, second = (share + gap) / 2, (share - gap) / 2
    expected = 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            if wins + losses and stats.binomtest(wins, wins + losses).pvalue < 0.05:
                same = n - wins - losses
                chances = (first, second, 1 - share)
                expected += stats.multinomial.pmf((wins, losses, same), n, chances)
    assert mcnemar_power(Flips(n, share=share), gap) == pytest.approx(expected)


def test_equal_models_still_need_six_clips_for_a_difference():
    alike = accuracy_seed(np.ones(200))
    smallest = Design.of(difference([alike], [alike]), "top1_acc").smallest_difference()
    # Six clips that differ, all alike, are the fewest that McNemar's test rejects.
    assert stats.binom.sf(5, 200, smallest) == pytest.approx(0.8, abs=1e-6)


def test_a_test_set_may_be_too_small_for_any_difference():
    alike = accuracy_seed(np.ones(5))
    assert Design.of(difference([alike], [alike]), "top1_acc").smallest_difference() == np.inf
    wide = Design((Part(0.25, 5.0),), largest=1.0)
    assert wide.smallest_difference() == np.inf
    assert dataclasses.replace(wide, largest=np.inf).smallest_difference() > 1


@pytest.mark.parametrize("n", [6, 7, 10, 60])
def test_the_level_of_a_sign_flip_test_is_what_it_can_attain(n):
    outcomes = 2.0 ** (n - 1)
    level = attainable_level(n)
    assert level <= 0.05 < level + 1 / outcomes + 1e-12
    if n < 10:
        assert sign_flip_test([np.ones(n)]).p <= level


def test_more_clips_and_more_seeds_detect_less():
    design = Design((Part(4e-4, 59.0), Part(1e-4, 2.0), Part(1e-4, 2.0)), None, 60, (3, 3))
    needed = design.units_for(0.06)
    assert needed is not None
    assert needed > 60
    assert design.seeds_for(0.06) is not None
    # Here the noise of training is enough to hide it, and there the clips are.
    assert design.units_for(0.02) is None
    assert design.seeds_for(0.05) is None
    assert dataclasses.replace(design, parts=design.parts[:1]).seeds_for(0.05) is None


def test_seeds_that_were_not_repeated_are_planned_from_the_allowance():
    rng = np.random.default_rng(0)
    a, b = (accuracy_seed(rng.random(500) < p, protocol="mlp") for p in (0.8, 0.7))
    one = Design.of(difference([a], [b]), "top1_acc")
    assert len(one.parts) == 2
    three = one.with_seeds(3)
    assert three.seeds == (3, 3)
    assert three.training_variance == pytest.approx(one.training_variance / 3)
    assert [part.freedom for part in three.parts[1:]] == [2, 2]
    assert one.with_seeds(1000).smallest_difference() < one.smallest_difference()


def test_the_seed_that_was_not_repeated_is_planned_like_the_others():
    rng = np.random.default_rng(0)
    several = [scored(v, 1e-3 * rng.normal(size=90), s) for s, v in enumerate((0.5, 0.54, 0.52))]
    design = Design.of(difference(several, [scored(0.44, 1e-3 * rng.normal(size=90))]), "mAP")
    assert [p.variance for p in design.with_seeds(3).parts[1:]] == pytest.approx([0.02**2 / 3] * 2)


# Simulation: the predictions of a small test set, beside the share of significant results.


def predicted_and_found(
    make: Callable[[np.random.Generator, float], Sides], metric: str, trials: int
) -> tuple[float, float]:
    """Detectable difference of test sets, and how often it is detected in others."""
    rng = np.random.default_rng(0)
    smallest = np.mean(
        [
            Design.of(difference(*make(rng, 0.0)), metric).smallest_difference()
            for _ in range(max(40, trials // 5))
        ]
    )
    rejected = [difference(*make(rng, float(smallest))).p < 0.05 for _ in range(trials)]
    return float(smallest), float(np.mean(rejected))


def clip_test_set(n: int, seeds: int = 1, spread: float = 0.0, share: float = 0.3):
    """Two models that differ by ``gap`` in the mean over clips; seeds move a model's accuracy."""

    def make(rng: np.random.Generator, gap: float) -> Sides:
        moved = rng.normal(scale=spread, size=(2, seeds)) if spread else np.zeros((2, seeds))
        differing = max(share, gap)
        ahead, behind = (differing + gap) / 2, (differing - gap) / 2
        draw = rng.random(n)
        sides: Sides = ([], [])
        for seed in range(seeds):
            # A seed's own gain or loss changes clips that both models otherwise share.
            for side, base in ((0, draw < ahead), (1, (draw >= ahead) & (draw < ahead + behind))):
                right = base | (draw > 0.7)
                change = rng.random(n) < abs(moved[side, seed])
                right = (right | change) if moved[side, seed] > 0 else (right & ~change)
                sides[side].append(accuracy_seed(right, seed=seed))
        return sides

    return make


def group_test_set(k: int, m: int, spread: float):
    """``k`` groups of ``m`` clips, in which the difference varies by this much."""

    def make(rng: np.random.Generator, gap: float) -> Sides:
        own = np.clip(gap + rng.normal(scale=spread, size=k), -0.5, 0.5)
        draw, same = rng.random((k, m)), rng.random((k, m)) < 0.5
        a = np.where(same, draw < 0.5, draw < (0.5 + own)[:, None])
        b = np.where(same, draw < 0.5, rng.random((k, m)) < 0.5)
        # Half of the clips are answered alike: the gap must come from the others.
        groups = np.repeat(np.arange(k), m)
        return tuple([accuracy_seed(each.ravel(), groups=[groups])] for each in (a, b))

    return make


def score_test_set(n: int, seeds: int, error: float, spread: float):
    """A metric whose jackknife moves are known; seeds scatter by ``spread``."""

    def make(rng: np.random.Generator, gap: float) -> Sides:
        common = rng.normal(size=n)
        shift = error * common.sum() / np.sqrt(n)
        sides: Sides = ([], [])
        for side, value in ((0, 0.5 + gap + shift), (1, 0.5)):
            moves = error * common / np.sqrt(n) if side == 0 else np.zeros(n)
            for seed in range(seeds):
                sides[side].append(scored(value + spread * rng.normal(), moves, seed))
        return sides

    return make


def test_the_power_of_a_few_clips_is_found_in_simulated_test_sets():
    smallest, power = predicted_and_found(clip_test_set(80), "top1_acc", 400)
    assert 0.1 < smallest < 0.3
    assert power == pytest.approx(0.8, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 500])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_power_of_clips(n, share):
    make = clip_test_set(n, share=share)
    rng = np.random.default_rng(1)
    design = Design.of(difference(*make(rng, 0.0)), "top1_acc")
    gap = min(design.smallest_difference(), share)
    # The share of differing clips is known: the prediction is then exact.
    known = mcnemar_power(Flips(n, share=share), gap)
    rejected = [difference(*make(rng, gap)).p < 0.05 for _ in range(1500)]
    assert np.mean(rejected) == pytest.approx(known, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 400])
@pytest.mark.parametrize("spread", [0.01, 0.05])
def test_power_with_three_seeds(n, spread):
    _, power = predicted_and_found(clip_test_set(n, 3, spread), "top1_acc", 1500)
    assert power == pytest.approx(0.8, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("k", "m"), [(8, 20), (12, 10), (24, 10), (60, 5)])
@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_power_of_groups(k, m, spread):
    make = group_test_set(k, m, spread)
    rng = np.random.default_rng(0)
    found = [difference(*make(rng, 0.0)) for _ in range(300)]
    smallest = np.mean([Design.of(each, "top1_acc").smallest_difference() for each in found])
    gap = 2 * float(smallest)  # half of the clips have it
    rejected = [difference(*make(rng, gap)) for _ in range(1500)]
    assert np.mean([each.value for each in rejected]) == pytest.approx(smallest, abs=0.02)
    assert np.mean([each.p < 0.05 for each in rejected]) == pytest.approx(0.8, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.05])
def test_power_of_other_metrics(seeds, spread):
    if seeds == 1 and spread:
        pytest.skip("one seed knows nothing of its spread")
    smallest, power = predicted_and_found(score_test_set(60, seeds, 0.02, spread), "mAP", 1500)
    assert power == pytest.approx(0.8, abs=0.06)
    assert smallest > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("k", "m"), [(10, 10), (20, 10)])
def test_the_groups_that_are_asked_for_are_enough(k, m):
    rng = np.random.default_rng(0)
    gap = 0.1
    found: list[PairedDifference] = [
        difference(*group_test_set(k, m, 0.1)(rng, 2 * gap)) for _ in range(200)
    ]
    needed = [Design.of(each, "top1_acc").units_for(gap) for each in found]
    many = int(np.mean([each for each in needed if each]))
    make = group_test_set(many, m, 0.1)
    rejected = [difference(*make(rng, 2 * gap)).p < 0.05 for _ in range(1000)]
    assert np.mean(rejected) == pytest.approx(0.8, abs=0.08)
