"""One task, two models: what is tested by what, beside independent computations, and coverage."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score
from support.probe_seeds import accuracy_seed, probe_seed

from harness.analysis.compare.influences import in_order, influence, units_of
from harness.analysis.compare.measured import Measured
from harness.analysis.compare.paired import difference
from harness.core.errors import UserError
from harness.metrics.event_metric import Event, EventCounts
from harness.metrics.jackknife import Influence
from harness.metrics.registry import event_metric, find_metric
from harness.metrics.scene_metric import SceneFold
from harness.metrics.units import clip_units
from harness.results.predictions import FoldPredictions

F_MEASURE = "event_onset_200ms_fms"


def moved(metric: str, value: float, moves: np.ndarray | float, n: int, seed: int = 0) -> Measured:
    """A probe seed of another metric by how much each clip moves its score."""
    found = Influence(value, np.zeros(n) + moves, clip_units([n]))
    return probe_seed(found, metric=metric, seed=seed)


def right(rng: np.random.Generator, chance: float, *sizes: int) -> list[np.ndarray]:
    return [(rng.random(n) < chance).astype(float) for n in sizes]


def test_one_probe_a_model_is_mcnemars_and_tangos():
    rng = np.random.default_rng(0)
    (a,), (b,) = right(rng, 0.8, 200), right(rng, 0.6, 200)
    found = difference([accuracy_seed(a)], [accuracy_seed(b)])
    first, second = int((a > b).sum()), int((a < b).sum())
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert found.p == pytest.approx(stats.binomtest(first, first + second).pvalue)
    assert found.low < found.value < found.high
    assert found.method == "exact McNemar, Tango's score interval; over 200 clips"
    assert (found.n_clips, found.seeds) == (200, (1, 1))
    turned = difference([accuracy_seed(b)], [accuracy_seed(a)])
    assert (turned.value, turned.low, turned.high, turned.p) == pytest.approx(
        (-found.value, -found.high, -found.low, found.p)
    )


def test_seeds_without_effect_count_as_one_probe():
    rng = np.random.default_rng(0)
    a, b = right(rng, 0.8, 30, 40), right(rng, 0.6, 30, 40)
    once = difference([accuracy_seed(*a)], [accuracy_seed(*b)])
    thrice = difference([accuracy_seed(*a, seed=s) for s in range(3)], [accuracy_seed(*b)])
    assert (thrice.low, thrice.p) == (once.low, once.p)
    assert thrice.seeds == (3, 1)


def test_equal_seeds_beside_others_that_differ_are_known_to_have_no_spread():
    rng = np.random.default_rng(0)
    (a,), (*b,) = right(rng, 0.9, 200), right(rng, 0.7, 200, 200, 200)
    steady = [accuracy_seed(a, seed=s, protocol="mlp") for s in range(3)]
    varying = [accuracy_seed(each, seed=s, protocol="mlp") for s, each in enumerate(b)]
    found = difference(steady, varying)
    assert "seeds (3 and 3)" in found.method
    turned = a.copy()
    turned[0] = 1 - turned[0]
    nearly = difference([*steady[:2], accuracy_seed(turned, seed=2, protocol="mlp")], varying)
    assert found.high - found.low == pytest.approx(nearly.high - nearly.low, rel=0.05)


def test_seeds_that_all_agree_need_no_allowance():
    rng = np.random.default_rng(0)
    (a,), (b,) = right(rng, 0.8, 200), right(rng, 0.6, 200)
    sides = [[accuracy_seed(x, seed=s, protocol="mlp") for s in range(3)] for x in (a, b)]
    assert "exact McNemar" in difference(*sides).method
    assert "allowance" not in difference(*sides).method
    assert "allowance" in difference(sides[0][:1], sides[1]).method


def test_averaged_runs_are_a_permutation_of_signs():
    rng = np.random.default_rng(0)
    a, b = (rng.binomial(10, chance, 300) / 10 for chance in (0.55, 0.5))
    found = difference([accuracy_seed(a)], [accuracy_seed(b)])
    scipys = stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples",
        n_resamples=4999, rng=rng, vectorized=True,
    )  # fmt: skip
    assert found.p == pytest.approx(scipys.pvalue, abs=0.01)
    assert "sign-flip permutation" in found.method
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.003)


def test_without_noise_of_clips_the_seeds_are_welchs():
    a, b = [0.50, 0.54, 0.52], [0.42, 0.46]
    sides = [[moved("mAP", v, 0.0, 500, seed) for seed, v in enumerate(side)] for side in (a, b)]
    found = difference(*sides)
    welch = stats.ttest_ind(a, b, equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert found.p == pytest.approx(welch.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert "500 clips and seeds (3 and 2)" in found.method


def test_one_seed_beside_several_is_taken_to_spread_as_they_do():
    several = [moved("mAP", v, 0.0, 500, s) for s, v in enumerate((0.50, 0.54, 0.52))]
    found = difference(several, [moved("mAP", 0.44, 0.0, 500)])
    half = stats.t.ppf(0.975, 2) * 0.02 * np.sqrt(1 / 3 + 1)
    assert found.high - found.value == pytest.approx(half)
    assert "seeds (3 and 1, assumed to have the same variance)" in found.method


def test_what_is_guessed_of_one_seed_is_bounded_beside_the_clips():
    rng = np.random.default_rng(0)
    several = [
        moved("mAP", v, 0.001 * rng.uniform(-1, 1, size=500), 500, s)
        for s, v in enumerate((0.50, 0.54, 0.52))
    ]
    found = difference(several, [moved("mAP", 0.44, 0.0, 500)])
    clips = (np.mean([each.by_unit.moves for each in several], axis=0) ** 2).sum()
    seeds = 0.02**2 * (1 / 3 + 1)
    squares = stats.t.ppf(0.975, 499) ** 2 * clips + stats.t.ppf(0.975, 2) ** 2 * seeds
    assert found.high - found.value == pytest.approx(np.sqrt(squares))
    # The p at which the interval ends at 0.
    squares = stats.t.isf(found.p / 2, 499) ** 2 * clips + stats.t.isf(found.p / 2, 2) ** 2 * seeds
    assert found.value == pytest.approx(np.sqrt(squares))


def test_equivalence_is_two_one_sided_t_tests():
    rng = np.random.default_rng(0)
    sides = [moved("mAP", v, 0.002 * rng.normal(size=80), 80) for v in (0.53, 0.52)]
    for margin in (0.005, 0.02, 0.06):
        found = difference([sides[0]], [sides[1]], margin=margin)
        (part,) = found.parts
        error = np.sqrt(part.variance)
        upper = stats.t.cdf((found.value - margin) / error, part.freedom)
        lower = stats.t.sf((found.value + margin) / error, part.freedom)
        assert found.p_equivalent == pytest.approx(max(upper, lower))
    assert np.isnan(difference([sides[0]], [sides[1]]).p_equivalent)


def test_equivalence_of_seeds_and_of_groups_is_of_the_t_interval_shown():
    rng = np.random.default_rng(0)
    (*a,), (*b,) = right(rng, 0.8, 90, 90, 90), right(rng, 0.8, 90, 90, 90)
    seeds = [[accuracy_seed(each, seed=s) for s, each in enumerate(side)] for side in (a, b)]
    groups = [f"{i % 15}" for i in range(90)]
    by_group = [[accuracy_seed(side[0], groups=[groups])] for side in (a, b)]
    for sides in (seeds, by_group):
        found = difference(*sides)
        farther = max(-found.low, found.high)
        assert difference(*sides, margin=farther).p_equivalent == pytest.approx(0.025)


def ranked_fold(rng: np.random.Generator, n: int, skill: float, targets: np.ndarray):
    scores = rng.normal(size=(1, n, targets.shape[1])) + skill * targets
    names = tuple(f"{i:04d}" for i in range(n))
    return FoldPredictions("test", names, scores, targets, np.arange(n + 1))


def test_map_has_the_error_of_scipys_paired_bootstrap():
    rng = np.random.default_rng(0)
    n = 120
    targets = (rng.random((n, 3)) < 0.4).astype(float)
    folds = [ranked_fold(rng, n, skill, targets) for skill in (1.0, 0.5)]
    sides = []
    for fold in folds:
        measured = influence("mAP", [fold], units_of([fold]))
        sides.append(probe_seed(measured, metric="mAP"))
    found = difference([sides[0]], [sides[1]])

    def statistic(index: np.ndarray) -> float:
        one, other = (
            average_precision_score(targets[index], f.probabilities[0][index]) for f in folds
        )
        return one - other

    scipys = stats.bootstrap(
        (np.arange(n),), statistic, n_resamples=150, vectorized=False, rng=rng, method="percentile"
    )
    error = scipys.standard_error * np.sqrt(n / (n - 1))
    assert found.value == pytest.approx(statistic(np.arange(n)))
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, n - 1) * error, rel=0.2)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.value) / error, n - 1), abs=0.03)
    # Interval and p say the same.
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_clips_in_another_order_are_paired_by_name():
    rng = np.random.default_rng(0)
    targets = (rng.random((50, 3)) < 0.4).astype(float)
    fold = ranked_fold(rng, 50, 1.0, targets)
    order = rng.permutation(50)
    shuffled = dataclasses.replace(
        fold,
        clips=tuple(fold.clips[i] for i in order),
        probabilities=fold.probabilities[:, order],
        targets=fold.targets[order],
    )
    assert in_order(shuffled).clips == fold.clips
    ours = [in_order(each) for each in (shuffled, fold)]
    one, other = (influence("mAP", [each], units_of([each])) for each in ours)
    assert one.moves.tolist() == other.moves.tolist()
    truth = {f"{i}": [Event("x", 100.0 * i, 100.0 * i + 50)] for i in range(8)}
    said = {name: events if int(name) % 2 else [] for name, events in truth.items()}
    files = FoldPredictions(
        "test", tuple(truth), np.zeros((1, 8, 1)), np.zeros((8, 1)), np.arange(9),
        np.zeros(8), (said,), truth,
    )  # fmt: skip
    turned = dataclasses.replace(files, reference=dict(reversed(truth.items())))
    ours = [in_order(each) for each in (turned, files)]
    one, other = (influence(F_MEASURE, [each], units_of([each])) for each in ours)
    assert one.moves.tolist() == other.moves.tolist()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"protocol": "mlp"}, "different protocols, linear and mlp"),
        ({"task": "other"}, "different tasks: task, other"),
        ({"task_sha256": "fffffffff"}, "different versions of task: task_sha256 abc"),
        ({"clips": (("other",) * 9,)}, "different clips of task"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes, named):
    one = accuracy_seed(np.ones(9))
    with pytest.raises(UserError, match=named):
        difference([one], [dataclasses.replace(one, model="n", **changes)])


def test_what_cannot_be_told_says_why():
    each = accuracy_seed(np.ones(1), np.ones(1))
    found = difference([each], [each])
    assert np.isnan(found.p)
    assert found.method == "none: a test set of one clip a fold"
    nothing = moved("aucroc", np.nan, np.nan, 40)
    assert difference([nothing], [nothing]).method == "none: a score is undefined"
    flat = [dataclasses.replace(moved(F_MEASURE, v, 0.0, 6), answers=40) for v in (0.0, 1.0)]
    apart = difference([flat[1]], [flat[0]])
    wilsons = stats.binomtest(40, 40).proportion_ci(method="wilson")
    # Rather less, for one probe seed a model has its allowance.
    expected = (wilsons.low, 1.0, 2 / 2**6)
    assert (apart.low, apart.high, apart.p) == pytest.approx(expected, abs=0.003)
    assert "no file moves the difference" in apart.method
    same = difference([flat[0]], [flat[0]])
    assert (same.value, same.p) == (0.0, 1.0)
    assert (same.low, same.high) == pytest.approx((wilsons.low - 1, 1 - wilsons.low), abs=0.003)
    alike = accuracy_seed(np.ones(40))
    same = difference([alike], [alike])
    assert (same.value, same.p) == (0.0, 1.0)
    assert same.low < 0 < same.high


def test_a_macro_mean_of_which_one_class_differs_is_no_sign_test_over_all_clips():
    metric, targets = find_metric("aucroc"), np.arange(16) % 8
    right = np.eye(8)[targets]
    flat = right.copy()
    flat[:, 7] = 0  # one class of two clips is scored at chance, the others perfectly
    sides = []
    for scores in (right, flat):
        folds = [SceneFold(scores[None], targets)]
        found = metric.influence(folds, clip_units([16]))
        answers = metric.answers(folds)
        sides.append(probe_seed(found, metric="aucroc", answers=answers))
    found = difference([sides[0]], [sides[1]])
    assert found.value == pytest.approx(1 / 16)
    assert found.low < 0 < found.high
    assert found.p > 0.05


def rare(n: int, positives: int, rng: np.random.Generator) -> list[Measured]:
    """Two equally good models on a task of two classes, one of them rare."""
    targets = (np.arange(n) < positives).astype(int)
    shared = rng.normal(size=(n, 2)) + np.eye(2)[targets]
    sides = []
    for _ in range(2):
        folds = [SceneFold((shared + rng.normal(size=(n, 2)))[None], targets)]
        found = find_metric("aucroc").influence(folds, clip_units([n]))
        answers = find_metric("aucroc").answers(folds)
        sides.append(probe_seed(found, metric="aucroc", answers=answers))
    return sides


def test_of_one_clip_of_a_class_nothing_is_told():
    a, b = rare(60, 1, np.random.default_rng(0))
    found = difference([a], [b])
    assert found.value == pytest.approx(a.value - b.value)
    assert np.isnan([found.low, found.high, found.p]).all()
    assert found.method == "none: too few test clips of the rarest classes"


# Coverage


@pytest.mark.parametrize("positives", [2, 5])
def test_models_are_seldom_called_different_by_a_rare_class(positives):
    rng = np.random.default_rng(0)
    pairs = [rare(60, positives, rng) for _ in range(150)]
    assert np.mean([difference([a], [b]).p < 0.05 for a, b in pairs]) <= 0.07


def counted(
    rng: np.random.Generator, n: int, skills: tuple[float, float], alarms: float = 2
) -> list[np.ndarray]:
    """Counts of the onset metric of two models in the same files, some hard for both."""
    truth = rng.poisson(8, n) + 1
    ease = 0.6 * rng.normal(size=n)
    sides = []
    for skill in skills:
        chance = stats.norm.cdf(stats.norm.ppf(skill) + ease + 0.2 * rng.normal(size=n))
        hits = rng.binomial(truth, chance)
        sides.append(np.stack([hits, rng.poisson(alarms, n), truth - hits], axis=1))
    return sides


def event_side(counts: np.ndarray) -> Measured:
    names = ("true_positives", "false_positives", "misses")
    folds = [[EventCounts(tuple(map(str, range(len(counts)))), names, counts)]]
    found = event_metric(F_MEASURE).influence(folds, clip_units([len(counts)]))
    return probe_seed(found, metric=F_MEASURE, answers=event_metric(F_MEASURE).answers(folds))


def event_coverage(n: int, skills: tuple[float, float], trials: int, alarms: float = 2) -> float:
    rng = np.random.default_rng(0)
    one, other = counted(rng, 200_000, skills, alarms)
    truth = event_score(one) - event_score(other)
    held = 0
    for _ in range(trials):
        found = difference(*([event_side(counts)] for counts in counted(rng, n, skills, alarms)))
        held += found.low <= truth <= found.high
    return held / trials


def event_score(counts: np.ndarray) -> float:
    hits, alarms, misses = counts.sum(axis=0)
    return 2 * hits / (2 * hits + alarms + misses)


def test_few_event_files_are_covered_and_named():
    assert event_coverage(10, (0.7, 0.5), 200) >= 0.92
    rng = np.random.default_rng(0)
    found = difference(*([event_side(counts)] for counts in counted(rng, 10, (0.7, 0.5))))
    assert "over 10 files, few" in found.method


@pytest.mark.slow
@pytest.mark.parametrize("skills", [(0.7, 0.7), (0.7, 0.5), (0.97, 0.9)])
@pytest.mark.parametrize("n", [10, 24, 72])
def test_coverage_of_events(n, skills):
    # The truth is that of very many files: F is biased by little from ten on.
    assert event_coverage(n, skills, 1000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("skills", [(0.995, 0.97), (0.998, 0.99)])
@pytest.mark.parametrize("n", [10, 24, 72])
def test_coverage_of_events_where_models_are_nearly_perfect(n, skills):
    assert event_coverage(n, skills, 1000, alarms=0) >= 0.93


def probes(
    rng: np.random.Generator, n: int, seeds: int, skill: float, spread: float, easiness: np.ndarray
) -> list[Measured]:
    """Seeds of one model: each has a skill of its own, the model finds some clips easy."""
    own = 0.3 * rng.normal(size=n)
    return [
        accuracy_seed(
            (skill + spread * rng.normal() + easiness + own + 0.2 * rng.normal(size=n) > 0) * 1.0,
            seed=seed,
        )
        for seed in range(seeds)
    ]


def seed_coverage(n: int, seeds: Sequence[int], spread: float, trials: int) -> float:
    rng = np.random.default_rng(0)
    total = np.sqrt(1 + 0.3**2 + 0.2**2 + spread**2)
    truth = stats.norm.cdf(0.9 / total) - stats.norm.cdf(0.7 / total)
    held = 0
    for _ in range(trials):
        easiness = rng.normal(size=n)
        sides = [
            probes(rng, n, s, skill, spread, easiness)
            for s, skill in zip(seeds, (0.9, 0.7), strict=True)
        ]
        found = difference(*sides)
        held += found.low <= truth <= found.high
    return held / trials


def test_a_random_effect_of_seeds_is_covered():
    assert seed_coverage(100, (3, 3), 0.2, 300) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("seeds", [(2, 2), (3, 3), (5, 5)])
@pytest.mark.parametrize("n", [20, 88, 500])
def test_coverage_with_a_random_effect_of_seeds(n, seeds, spread):
    assert seed_coverage(n, seeds, spread, 4000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("n", [88, 500])
def test_coverage_with_one_seed_beside_three(n, spread):
    assert seed_coverage(n, (3, 1), spread, 6000) >= 0.93


def called_different(
    n: int, seeds: int, spread: float, trials: int, protocol: str = "mlp"
) -> float:
    """Share of trials in which two halves of one model's seeds are called different."""
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(trials):
        each = [
            dataclasses.replace(probe, protocol=protocol, is_random=protocol != "linear")
            for probe in probes(rng, n, 2 * seeds, 0.9, spread, rng.normal(size=n))
        ]
        called += difference(each[:seeds], each[seeds:]).p < 0.05
    return called / trials


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("n", [88, 500, 5000])
def test_seeds_of_one_model_are_seldom_called_different(n, seeds, spread):
    assert called_different(n, seeds, spread, 1000 if n > 500 else 4000) <= 0.07


# A correlation of clips' turns of up to 0.0042, the largest seen: results/seed_noise.csv.
@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.03, 0.05])
@pytest.mark.parametrize("n", [88, 500, 2000, 5000])
def test_two_single_seeds_of_one_model_are_seldom_called_different(n, spread):
    assert called_different(n, 1, spread, 1000) <= 0.07


def test_one_seed_a_model_is_allowed_for_where_seeds_matter():
    assert called_different(2000, 1, 0.02, 150, "linear") > 0.1
    assert called_different(2000, 1, 0.02, 150) <= 0.07
    rng = np.random.default_rng(0)
    (a,), (b,) = right(rng, 0.8, 2000), right(rng, 0.77, 2000)
    narrow, wide = (
        difference([accuracy_seed(a, protocol=p)], [accuracy_seed(b, protocol=p)])
        for p in ("linear", "mlp")
    )
    assert wide.high - wide.low == pytest.approx(np.sqrt(11) * (narrow.high - narrow.low), rel=0.02)
    assert "allowance for training noise" in wide.method
    averaged = difference(
        [accuracy_seed(a, protocol="byola", runs=10)], [accuracy_seed(b, protocol="byola", runs=10)]
    )
    factor = (averaged.high - averaged.low) / (narrow.high - narrow.low)
    assert factor == pytest.approx(np.sqrt(2), rel=0.02)
