"""The figure of all tasks: what it is told to draw."""

from __future__ import annotations

import numpy as np
import pytest
from support.result_rows import row

from harness.report.figures.summary import ModelScores
from harness.report.material import Material, TaskFacts
from harness.report.panel import ProtocolScope
from harness.report.panels import summary
from harness.report.panels.summary import SUMMARY
from harness.results import frame


@pytest.fixture
def drawn(monkeypatch):
    """Make the panel of rows; return it with the arguments of its figure."""

    def make(*rows, **changes):
        found = []
        monkeypatch.setattr(summary, "summary_figure", lambda *args: found.append(args))
        panel = SUMMARY.make(ProtocolScope(Material(frame(rows), (), {}, **changes), "linear"))
        panel.draw(4.0)
        ((models, tasks, scales, width),) = found
        assert width == 4.0
        return panel, {model.model: model for model in models}, tasks, scales

    return make


def test_scores_intervals_and_means_are_those_of_the_rows(drawn):
    values = {("a", "s-v1-full"): 0.2, ("a", "t-v1-full"): 0.6, ("b", "s-v1-full"): 0.5}
    rows = [
        row(model=m, task=t, value=v, ci_low=v - 0.1, ci_high=v + 0.2)
        for (m, t), v in values.items()
    ]
    panel, models, tasks, scales = drawn(*rows, baselines=("b",))
    assert (tasks, scales) == (["s", "t"], ["score", "score"])
    a, b = models["a"], models["b"]
    assert isinstance(a, ModelScores)
    assert a.values.tolist() == [0.2, 0.6]
    assert a.low == pytest.approx([0.1, 0.5])
    assert a.high == pytest.approx([0.4, 0.8])
    assert a.mean == pytest.approx(0.4)
    assert (a.lacking, a.baseline, a.series) == ("", False, 0)
    assert np.isnan(b.values[1])
    assert np.isnan(b.mean)
    assert (b.lacking, b.baseline, b.series) == ("1 of 2", True, 1)
    assert "number of tasks of models with missing tasks, which have no mean" in panel.note
    assert "Hollow markers are baselines." in panel.note


def test_scores_that_do_not_compare_have_an_axis_of_their_own_or_none(drawn):
    kinds = {
        "error-v1-full": {"metric": "segment_1s_er", "higher_is_better": False, "value": 1.7},
        "prime-v1-full": {"metric": "d_prime", "value": 2.5},
        "right-v1-full": {"metric": "mAP", "value": 0.5},
    }
    rows = [row(model=m, task=t, **kind) for t, kind in kinds.items() for m in "ab"]
    rows += [row(model="a", task="mixed-v1-full", n_test=8)]
    rows += [row(model="b", task="mixed-v1-full", n_test=9)]
    panel, _, tasks, scales = drawn(*rows)
    assert tasks == ["right", "error", "prime"]
    assert scales == ["score", "segment_1s_er (lower is better)", "d_prime"]
    assert panel.note.endswith("Left out, because models were tested differently: mixed.")


def test_of_many_models_some_are_grey(drawn):
    rows = [
        row(model=f"m{i}", task=f"{t}-v1-full", value=0.9 - i / 20) for i in range(10) for t in "st"
    ]
    panel, models, _, _ = drawn(*rows, named=("m9",))
    assert [m for m, each in models.items() if each.series is None] == ["m7", "m8"]
    assert models["m9"].series == 0
    assert "Colours mark 8 of 10 models. Left out: m7, m8." in panel.note


def test_tasks_are_in_the_order_of_the_table(drawn):
    facts = {"a-v1-full": TaskFacts("A", "music"), "b-v1-full": TaskFacts("B", "speech")}
    _, _, tasks, _ = drawn(*[row(task=task) for task in facts], facts=facts)
    assert tasks == ["b", "a"]


def test_one_task_has_no_figure_of_all():
    assert SUMMARY.panels(ProtocolScope(Material(frame([row()]), (), {}), "linear")) == ()
