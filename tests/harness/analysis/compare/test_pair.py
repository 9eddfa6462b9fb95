"""Two models over several tasks: what stands in the mean, and what is only told of."""

from __future__ import annotations

import numpy as np
import pytest
from support.probe_seeds import accuracy_seed

from harness.analysis.compare.pair import TaskScore, compare_pair


def cell(task: str, *right: float) -> TaskScore:
    seed = accuracy_seed(np.array(right), task=task)
    return TaskScore(
        metric="top1_acc",
        higher_is_better=True,
        task_sha256="abc",
        value=seed.value,
        measured=(seed,),
    )


def test_a_task_that_cannot_be_paired_takes_no_part_in_the_mean():
    right = {"t1": [1, 1, 1, 0], "t2": [1, 1, 0, 0], "t3": [1]}
    wrong = {"t1": [1, 0, 0, 0], "t2": [1, 0, 0, 0], "t3": [0]}
    grid: dict[tuple[str, str], TaskScore | None] = {
        ("a", t): cell(t, *v) for t, v in right.items()
    }
    grid |= {("b", t): cell(t, *v) for t, v in wrong.items()}
    rows, over, differences, averaged = compare_pair(list(right), "a", "b", grid)
    assert rows.set_index("task").verdict["t3"].startswith("no verdict: a test set")
    assert over["n_tasks"] == 2
    assert over["mean_difference"] == pytest.approx((0.5 + 0.25) / 2)
    assert over["ci_low"] < over["mean_difference"] < over["ci_high"]
    assert (over["left_out"], over["unpaired"]) == ("t3", 1)
    assert (set(differences), set(averaged)) == ({"t1", "t2", "t3"}, {"t1", "t2"})
