"""A comparison in words: what stands below its tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.analysis.compare import Comparison, format_comparison
from harness.analysis.compare.text import MEAN_IS_ABOUT


def comparison(n_tasks: int, low: float = 0.0) -> Comparison:
    """Three models on so many tasks, the first better than the others."""
    pairs = [("a", "b"), ("a", "c")]
    tasks = [
        {
            "task": f"task{number}-v1-full",
            "metric": "top1_acc",
            "higher_is_better": True,
            "a": a,
            "b": b,
            "value_a": 0.7,
            "value_b": 0.6,
            "difference": 0.1,
            "ci_low": 0.0,
            "ci_high": 0.2,
            "p": 0.05,
            "p_holm": 0.1,
            "detectable": 0.14,
            "p_equivalent_holm": np.nan,
            "method": "exact McNemar",
            "n_groups": pd.NA,
            "design_effect": np.nan,
            "verdict": "not separable",
        }
        for a, b in pairs
        for number in range(n_tasks)
    ]
    counts = {"n_tasks": n_tasks, "wins": 0, "losses": 0, "ties": n_tasks, "unpaired": 0}
    over = {"mean_difference": 0.1, "ci_low": low, "ci_high": 0.2, "p": 0.05, "method": "t"}
    over |= {"detectable": 0.1, "p_equivalent": np.nan}
    counts["equivalent"] = 0
    overall = pd.DataFrame([{"a": a, "b": b, **over, **counts} for a, b in pairs])
    ranks = pd.DataFrame({"model": ["a", "b", "c"], "mean_rank": 2.0, "n_tasks": 1})
    return Comparison(
        protocol="linear",
        models=("a", "b", "c"),
        tasks=pd.DataFrame(tasks),
        overall=overall,
        ranks=ranks,
    )


@pytest.mark.parametrize("style", ["markdown", "html", "latex"])
def test_below_the_tables_stands_once_what_the_mean_is_about(style):
    assert format_comparison(comparison(2), style).count(MEAN_IS_ABOUT) == 1


@pytest.mark.parametrize("found", [comparison(1), comparison(2, low=np.nan)])
def test_where_no_mean_has_an_interval_nothing_is_said_of_it(found):
    assert MEAN_IS_ABOUT not in format_comparison(found)
