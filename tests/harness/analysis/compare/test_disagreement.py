"""The mean over tasks favours one model, most tasks the other."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from harness.analysis.compare.disagreement import disagreements
from harness.analysis.compare.pair import ModelPair, _mean
from harness.analysis.compare.paired import PairedDifference
from harness.metrics.variance import Part

RANKS = pd.DataFrame({"model": ["b", "a"], "mean_rank": [1.25, 1.75]})


def pair(values: Mapping[str, float], error: float = 0.01) -> ModelPair:
    """Models a and b with these differences, each with this standard error."""
    found = {
        f"{task}-v1-full": PairedDifference(
            value=value, n_clips=100, seeds=(1, 1), parts=(Part(error**2, 200.0),)
        )
        for task, value in values.items()
    }
    over = {"a": "a", "b": "b", **_mean(list(found.values()), None)}
    return ModelPair(pd.DataFrame(), over, found, found)


def test_the_task_that_makes_the_mean_is_named():
    found = pair({"t1": -0.01, "t2": -0.02, "odd": 0.3, "t3": -0.01})
    (said,) = disagreements([found], RANKS)
    assert said.startswith("Mean and ranks disagree on a and b: the mean favours a (+0.065, p ")
    assert "but b has the higher score on 3 of 4 tasks and has the better mean rank (1.25" in said
    assert "The cause is odd: the mean without it is -0.013, p " in said


def test_it_is_named_whichever_model_comes_first():
    found = pair({"t1": 0.01, "t2": 0.02, "odd": -0.3, "t3": 0.01})
    (said,) = disagreements([found], RANKS.assign(mean_rank=[1.75, 1.25]))
    assert "the mean favours b" in said
    assert "but a has the higher score on 3 of 4 tasks" in said
    assert "The cause is odd" in said


def test_several_tasks_may_make_the_mean():
    found = pair({"t1": -0.01, "t2": -0.02, "t3": -0.01, "big": 0.4, "bigger": 0.5})
    (said,) = disagreements([found], RANKS)
    assert "No single task is the cause: without bigger, which contributes most, the mean" in said


def test_where_they_agree_or_the_mean_is_not_significant_nothing_is_said():
    agreeing = RANKS.assign(mean_rank=[1.75, 1.25])
    assert disagreements([pair({"t1": 0.1, "t2": 0.1, "t3": -0.02})], agreeing) == []
    assert disagreements([pair({"t1": -0.1, "t2": -0.1, "odd": 0.3}, 0.3)], RANKS) == []
    assert disagreements([pair({"t1": 0.1})], RANKS) == []  # one task has no mean
