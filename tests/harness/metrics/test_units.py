"""Groups as the units of a test set: strata, intervals by independent computations, coverage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from harness.metrics.event_metric import EventCounts
from harness.metrics.intervals import ScoreEstimate, estimate
from harness.metrics.jackknife import share_influence
from harness.metrics.macro_mean import effective_units
from harness.metrics.registry import find_metric, metrics_of
from harness.metrics.scene_metric import SceneFold
from harness.metrics.units import Units, clip_units, group_units
from harness.metrics.variance import of_units

EVENT_METRIC = "event_onset_50ms_fms"


# The partition


def test_units_are_groups_in_strata_of_folds():
    units = group_units([("a", "a", "b"), ("c", "d")], (3, 2))
    assert units.grouped
    assert (units.n_units, units.count, units.freedom) == (4, 4, 2)
    assert [units.stratum[of_fold].tolist() for of_fold in units.of_clip] == [[0, 0, 0], [1, 1]]


def test_without_groups_in_every_fold_clips_are_units():
    units = group_units([("a", "a"), None], (2, 3))
    assert not units.grouped
    assert (units.n_units, units.freedom) == (5, 3)


def test_folds_that_share_a_group_are_one_stratum():
    # Speakers in every fold, as in HEAR's spoken digits.
    shared = group_units([("a", "b"), ("b", "c"), ("d", "e")], (2, 2, 2))
    assert shared.freedom == 5 - 2
    everywhere = group_units([("a", "b", "c")] * 5, (3,) * 5)
    assert (everywhere.n_units, everywhere.freedom) == (3, 2)


def test_leaving_one_group_out_compares_folds_with_each_other():
    units = group_units([("a", "a"), ("b", "b"), ("c",)], (2, 2, 1))
    assert (units.n_units, units.freedom) == (3, 2)
    # A single fold of one group joins the others.
    assert group_units([("a", "a"), ("b", "c")], (2, 2)).freedom == 2


def test_blocks_join_units_within_strata_and_are_the_same_each_time():
    units = clip_units((1500, 700))
    blocks = units.blocks(100)
    assert (blocks.n_units <= 100, blocks.count) == (True, 2200)
    sizes = np.bincount(blocks.of_clip[0])
    assert sizes[sizes > 0].max() - sizes[sizes > 0].min() <= 1
    assert not set(blocks.of_clip[0]) & set(blocks.of_clip[1])
    assert all(map(np.array_equal, blocks.of_clip, units.blocks(100).of_clip))
    assert units.blocks(5000) is units


# Values by hand


def test_the_variance_of_an_accuracy_is_the_delete_a_group_jackknife():
    rng = np.random.default_rng(0)
    groups = np.repeat(list("abcdefgh"), rng.integers(2, 9, 8))
    right = rng.random(len(groups))
    found = share_influence([right], group_units([groups], [len(groups)]))
    left = np.array([right[groups != name].mean() for name in "abcdefgh"])
    assert found.variance == pytest.approx(7 / 8 * ((left - left.mean()) ** 2).sum())
    assert found.value == pytest.approx(right.mean())


def test_equal_groups_give_the_t_interval_of_their_means():
    rng = np.random.default_rng(1)
    means = rng.integers(3, 9, 12) / 10
    right = np.concatenate([(np.arange(10) < 10 * m).astype(float) for m in means])
    found = share_influence([right], group_units([np.repeat(np.arange(12), 10).astype(str)], [120]))
    part = of_units(found)
    assert np.sqrt(part.variance) == pytest.approx(stats.sem(means))
    excess = max(stats.kurtosis(means), 0)
    assert part.freedom == pytest.approx(2 / (2 / 11 + excess / 12))


def test_one_group_with_all_the_errors_leaves_few_degrees_of_freedom():
    right = np.ones(200)
    right[:10] = 0
    groups = [np.repeat(np.arange(20), 10).astype(str)]
    part = of_units(share_influence([right], group_units(groups, [200])))
    assert part.freedom < 3


def test_auc_without_a_group_is_scikit_learns():
    rng = np.random.default_rng(2)
    targets = np.tile([0, 1], 60)
    scores = rng.normal(size=120) + targets
    groups = np.repeat(np.arange(12), 10)
    fold = SceneFold(np.stack([-scores, scores], axis=-1)[None], targets)
    found = find_metric("aucroc").influence([fold], group_units([groups.astype(str)], [120]))
    left = [roc_auc_score(targets[groups != g], scores[groups != g]) for g in range(12)]
    assert found.variance == pytest.approx(11 * np.var(left))
    assert found.value == pytest.approx(roc_auc_score(targets, scores))


def test_a_class_alone_in_its_fold_is_compared_with_the_other_folds():
    rng = np.random.default_rng(3)
    targets = np.repeat([0, 1, 2], 8)
    scores = [rng.normal(size=(24, 3)) + np.eye(3)[targets] for _ in range(3)]
    folds = [SceneFold(each[None], targets) for each in scores]
    names = [np.char.add(f"{fold}-", targets.astype(str)) for fold in range(3)]
    found = find_metric("aucroc").influence(folds, group_units(names, [24] * 3))

    def auc(fold: int, c: int, kept: np.ndarray) -> float:
        return roc_auc_score(targets[kept] == c, scores[fold][kept, c])

    whole = np.array([[auc(fold, c, targets >= 0) for c in range(3)] for fold in range(3)])
    variance = 0.0
    for fold in range(3):
        changes = np.zeros((3, 3))  # class, group left out
        for c in range(3):
            for out in range(3):
                if c == out:
                    # Two other scores of the class: their mean is as far away as 3 / 2 variances.
                    other = np.delete(whole[:, c], fold).mean()
                    changes[c, out] = (other - whole[fold, c]) * np.sqrt(2 / 3)
                else:  # The group is one of two that are the negatives of the class.
                    left = auc(fold, c, targets != out)
                    changes[c, out] = (left - whole[fold, c]) * np.sqrt(1 / 2)
        moves = changes.mean(axis=0) / 3
        variance += ((moves - moves.mean()) ** 2).sum()
    assert found.variance == pytest.approx(variance)
    assert found.value == pytest.approx(whole.mean())


@pytest.mark.parametrize("metric", ["mAP", "aucroc", "d_prime"])
def test_a_group_alone_with_a_class_in_every_fold_moves_the_mean(metric):
    # The other folds say nothing about the class: they contain the same group.
    rng = np.random.default_rng(4)
    targets = np.repeat([0, 1, 2, 1, 2, 1], 6)
    names = [np.repeat(list("abcdef"), 6)] * 4
    folds = [SceneFold((rng.normal(size=(36, 3)) + np.eye(3)[targets])[None], targets)] * 4
    found = find_metric(metric).influence(folds, group_units(names, [36] * 4))
    alone = find_metric(metric).influence(folds[:1], group_units(names[:1], [36]))
    assert found.variance == pytest.approx(alone.variance)
    assert found.moves == pytest.approx(alone.moves)


def test_classes_are_worth_the_groups_that_have_them():
    targets = np.repeat([0, 1, 2], 20)
    fold = SceneFold(np.full((1, 60, 3), 0.5), targets)
    by_class = group_units([np.repeat(np.arange(6), 10).astype(str)], [60])
    assert effective_units([fold], by_class) == pytest.approx(6)
    mixed = group_units([np.tile(np.arange(6), 10).astype(str)], [60])
    assert effective_units([fold], mixed) == pytest.approx(18)


def grouped_fold(rng: np.random.Generator, n_groups: int, size: int) -> tuple[SceneFold, Units]:
    groups = np.repeat(np.arange(n_groups), size)
    targets = rng.integers(0, 3, len(groups))
    effect = 0.7 * rng.normal(size=(n_groups, 3))[groups]
    scores = effect + rng.normal(size=(len(groups), 3)) + np.eye(3)[targets]
    return SceneFold(scores[None], targets), group_units([groups.astype(str)], [len(groups)])


@pytest.mark.parametrize("metric", metrics_of("scene"))
def test_correlated_clips_widen_the_interval_and_name_their_groups(metric):
    targets = np.repeat(np.arange(24) % 3, 8)
    one = np.random.default_rng(0).normal(size=(24, 3)) + np.eye(3)[targets[::8]]
    # Eight copies of one clip a group are worth one clip.
    fold = SceneFold(np.repeat(one, 8, axis=0)[None], targets)
    units = group_units([np.repeat(np.arange(24), 8).astype(str)], [192])
    found = estimate(find_metric(metric), [fold], units)
    alone = estimate(find_metric(metric), [SceneFold(one[None], targets[::8])])
    assert found.n_groups == 24
    assert found.design_effect == pytest.approx(8, rel=0.4)
    assert found.standard_error == pytest.approx(alone.standard_error, rel=0.05)
    assert "over 24 groups, few" in found.interval.method
    clips = estimate(find_metric(metric), [fold])
    assert (clips.n_groups, clips.design_effect) == (None, None)
    width = found.interval.high - found.interval.low
    assert width > 2 * (clips.interval.high - clips.interval.low)


@pytest.mark.parametrize("n_groups", [1, 5])
@pytest.mark.parametrize("metric", metrics_of("scene"))
def test_below_six_groups_there_is_no_interval(metric, n_groups):
    found = estimate(
        find_metric(metric), *listed(grouped_fold(np.random.default_rng(0), n_groups, 30))
    )
    assert np.isnan([found.interval.low, found.interval.high]).all()
    assert found.interval.method == f"none: too few test groups ({n_groups}); 6 are needed"
    assert np.isfinite(found.value)


def listed(made: tuple[SceneFold, Units]) -> tuple[list[SceneFold], Units]:
    return [made[0]], made[1]


@pytest.mark.parametrize("metric", ["top1_acc", "mAP"])
def test_a_random_protocol_adds_an_allowance_for_its_training(metric):
    made = listed(grouped_fold(np.random.default_rng(0), 30, 10))
    fixed, random = (estimate(find_metric(metric), *made, is_random=r) for r in (False, True))
    assert fixed.training_error == 0
    assert random.training_error > 0
    assert random.standard_error == fixed.standard_error
    assert random.interval.low < fixed.interval.low < fixed.interval.high < random.interval.high
    assert "allowance for training noise" in random.interval.method
    clips = [estimate(find_metric(metric), made[0], is_random=r).interval for r in (False, True)]
    assert clips[1].high - clips[1].low > clips[0].high - clips[0].low


# Coverage


def scenes(
    rng: np.random.Generator, n_groups: int, size: int, icc: float, *, own_class: bool, folds: int
) -> tuple[list[SceneFold], Units]:
    """Folds whose groups have classifier scores with a shared part, and skills of their own."""
    made, names = [], []
    for fold in range(folds):
        of_fold = n_groups // folds
        group = np.repeat(np.arange(of_fold), size)
        targets = group % 4 if own_class else rng.integers(0, 4, len(group))
        shared = np.sqrt(icc) * rng.normal(size=(of_fold, 4))[group]
        own = np.sqrt(1 - icc) * rng.normal(size=(len(group), 4))
        skill = 1.2 * (1 + 0.6 * np.sqrt(icc) * rng.normal(size=of_fold))[group]
        made.append(SceneFold((shared + own + skill[:, None] * np.eye(4)[targets])[None], targets))
        names.append([f"{fold}-{each}" for each in group])
    return made, group_units(names, [len(fold.targets) for fold in made])


def events(
    rng: np.random.Generator, n_groups: int, size: int, icc: float
) -> tuple[list[list[EventCounts]], Units]:
    group = np.repeat(np.arange(n_groups), size)
    n = len(group)
    ease = np.sqrt(icc) * rng.normal(size=n_groups)[group] + np.sqrt(1 - icc) * rng.normal(size=n)
    truth = rng.poisson(5, n) + 1
    hits = rng.binomial(truth, stats.norm.cdf(0.8 + 0.8 * ease))
    alarms = rng.poisson(1.5 * np.exp(-0.5 * ease))
    names = ("true_positives", "false_positives", "misses")
    counts = EventCounts(
        tuple(map(str, range(n))), names, np.stack([hits, alarms, truth - hits], 1)
    )
    return [[counts]], group_units([group.astype(str)], [n])


def coverage(
    make: Callable[[np.random.Generator], tuple], metric: str, trials: int
) -> tuple[float, float]:
    """Share of test sets whose interval holds the mean score of such test sets, and its error."""
    rng = np.random.default_rng(0)
    scored = find_metric(metric)
    truth = float(np.mean([scored.influence(*make(rng)).value for _ in range(3 * trials)]))
    found: list[ScoreEstimate] = [estimate(scored, *make(rng)) for _ in range(trials)]
    held = [each.interval.low <= truth <= each.interval.high for each in found]
    return float(np.mean(held)), float(np.sqrt(0.05 * 0.95 / trials))


@pytest.mark.parametrize("icc", [0.0, 0.5])
def test_group_intervals_of_accuracies_cover(icc):
    share, error = coverage(
        lambda rng: scenes(rng, 20, 10, icc, own_class=False, folds=1), "top1_acc", 300
    )
    assert share >= 0.95 - 3 * error


# From 20 groups on 93 to 97 of 100, up to the error of a simulation of 600 test sets.
@pytest.mark.slow
@pytest.mark.parametrize("metric", ["top1_acc", "mAP", "aucroc", "d_prime"])
@pytest.mark.parametrize("icc", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("own_class", [False, True])
@pytest.mark.parametrize(("n_groups", "size", "folds"), [(20, 10, 1), (20, 10, 5), (40, 5, 1)])
def test_group_intervals_cover(metric, icc, own_class, n_groups, size, folds):
    share, error = coverage(
        lambda rng: scenes(rng, n_groups, size, icc, own_class=own_class, folds=folds), metric, 600
    )
    assert 0.93 - 2 * error <= share <= 0.97 + 2 * error


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["top1_acc", "mAP", "aucroc", "d_prime"])
@pytest.mark.parametrize("icc", [0.0, 0.5])
@pytest.mark.parametrize("n_groups", [6, 10])
def test_intervals_of_few_groups_cover_at_least_nine_in_ten(metric, icc, n_groups):
    share, error = coverage(
        lambda rng: scenes(rng, n_groups, 10, icc, own_class=False, folds=1), metric, 600
    )
    assert share >= 0.9 - 2 * error


@pytest.mark.slow
@pytest.mark.parametrize("icc", [0.0, 0.5])
@pytest.mark.parametrize(("n_groups", "size"), [(6, 5), (10, 5), (20, 5), (40, 3)])
def test_group_intervals_of_events_cover(icc, n_groups, size):
    share, error = coverage(lambda rng: events(rng, n_groups, size, icc), EVENT_METRIC, 600)
    assert share >= 0.93 - 2 * error
