"""Which models a report shows, compares and draws in colour."""

from __future__ import annotations

import pytest
from support import report_runs
from support.result_rows import row

from harness.report.choice import (
    MOST_MODELS,
    coloured_models,
    compared_models,
    ranked_models,
    series,
    task_models,
)
from harness.report.material import Material
from harness.report.overview import overview
from harness.results import frame

TASK = "made_up_00-v1-full"


def made_up(n_models: int, n_tasks: int = 3, **changes) -> Material:
    return Material(report_runs.made_up_rows(n_models, n_tasks), (), {}, **changes)


def done(material: Material) -> list[str]:
    """Models with a score on TASK, the best first."""
    rows = material.rows[(material.rows.task == TASK) & (material.rows.status == "done")]
    return list(rows.sort_values("value", ascending=False).model)


@pytest.mark.parametrize("n", [1, 4, MOST_MODELS])
def test_all_of_a_few_models_are_shown_and_compared(n):
    material = made_up(n)
    shown, note = task_models(material, "linear", TASK)
    assert list(shown) == done(material)
    assert note == ""
    assert len(compared_models(material, "linear")) == n


def test_of_more_models_some_are_shown_and_the_others_are_named():
    rows = frame([row(model=f"m{i}", value=0.9 - i / 20) for i in range(9)])
    material = Material(rows, (), {}, named=("m5",), baselines=("m2",))
    shown, note = task_models(material, "linear", "t-v1-full")
    assert shown == ("m0", "m5", "m2")
    assert "show 3 of 9 models. Left out: m1, m3, m4, m6, m7, m8." in note
    assert "`--model NAME`" in note


def test_all_named_models_are_shown_however_many_there_are():
    names = tuple(f"model_{number:02d}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10))
    material = made_up(12, named=names)
    shown, _ = task_models(material, "linear", TASK)
    assert set(names) & set(done(material)) <= set(shown)
    assert coloured_models(material, "linear") == list(names)


def test_models_that_are_named_come_first_in_their_order():
    plain = made_up(10, 5, baselines=("model_05",))
    best, *others = order = compared_models(plain, "linear")
    assert len(order) == 4
    assert "model_05" in order
    worst, middle = others[-1], others[0]
    named = made_up(10, 5, baselines=("model_05",), named=(worst, middle, worst))
    found = compared_models(named, "linear")
    assert found[:2] == [worst, middle]
    assert best in found[2:]
    everyone = tuple(sorted(set(plain.rows.model)))
    assert compared_models(made_up(10, 5, named=everyone), "linear") == list(everyone)


def test_complete_models_come_first_and_then_the_best_mean():
    material = made_up(10, 19)
    rows = overview(material, "linear", None).rows
    done = material.rows[material.rows.status == "done"].groupby("model").task.nunique()
    expected = sorted(rows, key=lambda row: (-done[row.model], -row.means[0].value))
    assert ranked_models(material, "linear") == [row.model for row in expected]


def test_a_model_has_one_colour_on_all_tasks_and_no_two_share_one():
    material = made_up(9)
    coloured = coloured_models(material, "linear")
    (other,) = set(ranked_models(material, "linear")) - set(coloured)
    assert len(coloured) == MOST_MODELS
    assert series(material, "linear", coloured) == tuple(range(MOST_MODELS))
    assert series(material, "linear", coloured[3:1:-1]) == (3, 2)
    numbers = series(material, "linear", (coloured[1], other, coloured[0]))
    assert len(set(numbers)) == 3
    assert (numbers[0], numbers[2]) == (1, 0)


def test_a_few_shot_protocol_has_a_section_if_it_alone_has_a_model_on_a_task():
    def protocols(*places: tuple[str, str, str]) -> tuple[str, ...]:
        rows = [row(protocol=p, task=f"{task}-v1-full", model=m) for p, task, m in places]
        return Material(frame(rows), (), {}).protocols

    whole = ("linear", "a", "m"), ("linear-1-shot", "a", "m"), ("linear-4-shot", "a", "m")
    assert protocols(*whole) == ("linear",)
    more = ("linear-4-shot", "b", "m"), ("linear-4-shot", "c", "m"), ("linear-1-shot", "c", "m")
    assert protocols(*whole, *more) == ("linear", "linear-4-shot")
    assert protocols(*whole, ("linear-1-shot", "a", "other")) == ("linear", "linear-1-shot")
    assert protocols(*more) == ("linear-4-shot",)
