"""Several models over several tasks: Holm, mean ranks, Friedman and Nemenyi."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.analysis.compare.ranks import holm, nemenyi, rank_models


def by_closure(p: np.ndarray) -> list[float]:
    """Holm's adjusted p as the closed test of Bonferroni: the worst over all sets that hold it."""
    indices = range(len(p))
    sets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(indices, size)]
    return [max(min(1.0, len(s) * min(p[list(s)])) for s in sets if i in s) for i in indices]


def test_holm_is_the_closed_bonferroni_test():
    rng = np.random.default_rng(0)
    for _ in range(5):
        p = rng.beta(0.3, 1, 6)
        assert holm(p) == pytest.approx(by_closure(p))


def test_what_has_no_p_counts_for_nothing():
    found = holm([0.03, np.nan, 0.02])
    assert found[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(found[1])
    assert len(holm([])) == 0


# Demšar 2006, table 5 and section 3.2.2: critical values of the two-tailed Nemenyi test at 5 %.
@pytest.mark.parametrize(("models", "q"), [(3, 2.343), (4, 2.569), (10, 3.164)])
def test_critical_differences_are_demsars(models, q):
    assert nemenyi(models, 14) == pytest.approx(q * np.sqrt(models * (models + 1) / 84), rel=1e-3)


def table(values: list[list[float]]) -> pd.DataFrame:
    """Models × tasks."""
    rows = np.array(values)
    return pd.DataFrame(rows, index=list("ABCDEF"[: len(rows)]))


def ranked(values: pd.DataFrame, lower: int | None = None):
    ascending = pd.Series([task != lower for task in values.columns], index=values.columns)
    return rank_models(values, ascending)


def test_ranks_are_scipys_friedman_and_ties_share_theirs():
    rng = np.random.default_rng(0)
    values = table(rng.normal(size=(4, 12)) + np.array([[3], [2], [0], [0]]))
    values.loc["C", 0] = values.loc["D", 0] = 0.0
    found = ranked(values)
    friedman = stats.friedmanchisquare(*values.to_numpy())
    assert f"{friedman.statistic:.2f}" in found.test
    assert found.critical_difference == pytest.approx(nemenyi(4, 12))
    assert found.ranks.model.tolist()[:2] == ["A", "B"]
    assert found.ranks.mean_rank.sum() == pytest.approx(10)
    groups = dict(zip(found.ranks.model, found.ranks.tie_groups))
    assert set(groups["C"]) & set(groups["D"])
    assert not set(groups["A"]) & set(groups["D"])


def test_means_over_folds_that_only_rounding_tells_apart_tie():
    one, other = 0.685, 0.685 - 1e-16
    values = table([[one] * 8, [other] * 8, [0.5] * 8])
    assert one != other
    means = ranked(values).ranks.set_index("model").mean_rank
    assert means[["A", "B", "C"]].tolist() == [1.5, 1.5, 3.0]


def test_where_less_is_better_the_least_is_first():
    values = table([[0.9, 0.1], [0.5, 0.5]])
    assert ranked(values, lower=1).ranks.mean_rank.tolist() == [1.0, 2.0]
    assert ranked(values).ranks.mean_rank.tolist() == [1.5, 1.5]


def test_a_task_that_lacks_a_model_does_not_rank():
    found = ranked(table([[0.9, 0.1, 0.5], [0.5, np.nan, 0.4]]))
    assert found.ranks.n_tasks.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([[1.0] * 9, [2.0] * 9], "needs three models"),
        ([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], "2 common tasks are too few"),
        ([[np.nan], [2.0], [3.0]], "0 common tasks"),
        ([[1.0] * 5] * 3, "all models tie"),
        (np.eye(5).tolist(), "no model differs in rank"),
    ],
)
def test_without_a_critical_difference_the_reason_is_said(values, why):
    found = ranked(table(values))
    assert found.critical_difference is None
    assert why in found.test
