"""The panels of differences between two models."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pandas as pd
import pytest
from support import report_runs
from support.erring_runs import make_errors_run

from harness.analysis.compare import compare
from harness.report.material import Material, gather
from harness.report.sections import ProtocolSection, protocol_section
from harness.report.texts import between, p_value, signed


def section(material: Material) -> ProtocolSection:
    return protocol_section(material, "linear")


def test_a_forest_shows_a_lower_error_as_better(tmp_path):
    pytest.importorskip("matplotlib")
    (forest, _) = section(gather([make_errors_run(tmp_path)])).comparison
    first = forest.title.partition(" against ")[0]
    figure = forest.draw(6.0)
    ((value,),) = (line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) == 1)
    assert abs(value) > 0.9
    assert (value > 0) == (first == "logmel")
    (line,) = forest.table.rows
    assert line[1] == "logmel better"
    assert f"{first} is better on {int(first == 'logmel')}" in forest.note


def test_the_table_has_the_verdict_early_signs_both_p_and_the_mean(material):
    forest = section(material).comparison[0]
    a, b = forest.title.split(" against ")
    found = compare(material.results, [a, b], "linear")
    (over,) = found.overall.to_dict("records")
    *rows, mean = forest.table.rows
    assert forest.table.header[:6] == (
        *("task", "verdict", "difference", "95 % interval", "p", "p (Holm)"),
    )
    expected = [
        (
            signed(each.difference),
            between(each.ci_low, each.ci_high),
            *map(p_value, (each.p, each.p_holm)),
        )
        for each in found.tasks.itertuples()
    ]
    assert [line[2:6] for line in rows] == expected
    assert mean[:3] == ("mean of 3 tasks", "–", signed(over["mean_difference"]))
    assert mean[4] == p_value(over["p"])
    assert f"differs by {mean[2]}, p {mean[4]}." in forest.note


@pytest.mark.parametrize(
    ("p", "said"),
    [(1e-9, "<0.0001"), (0.00012, "0.0001"), (0.0123, "0.012"), (float("nan"), "–")],
)
def test_no_p_is_spelt_as_zero(p, said):
    assert p_value(p) == said


def test_differences_have_signs():
    assert [signed(value) for value in (0.25, -0.25, float("nan"))] == ["+0.250", "−0.250", "–"]
    assert between(-0.1, 0.2) == "−0.100 to +0.200"


def test_tasks_that_do_not_count_are_said_not_to(run_folder, tmp_path):
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    for path in [run / "results.csv", *run.glob("results/**/*.json")]:
        path.write_text(path.read_text().replace("tiny_scene-v1-full", "tiny_scene-v1-synthetic"))
    for path in run.glob("results/*/tiny_scene-v1-full"):
        path.rename(path.with_name("tiny_scene-v1-synthetic"))
    note = section(gather([run])).comparison[0].note
    assert note.startswith("Of 2 tasks, ")
    assert "Not counted: 1 synthetic task, tiny_scene (synthetic)." in note


def titles(material: Material) -> list[str]:
    return [panel.title for panel in section(material).comparison[:-1]]


def test_the_model_that_is_named_first_is_the_reference(material):
    best, other = titles(material)[0].split(" against ")
    for first, second in ((best, other), (other, best)):
        named = dataclasses.replace(material, named=(first, second))
        assert titles(named) == [f"{first} against {second}"]
        said = section(named).notes
        assert said[0] == f"The others are compared with {first}, which was named first."
    assert not [note for note in section(material).notes if "named" in note]


def test_a_reference_without_predictions_gives_way_to_the_next_that_was_named(material):
    rows = material.rows.assign(model="bare")
    both = Material(
        pd.concat([material.rows, rows], ignore_index=True),
        material.runs,
        material.records,
        named=("bare", report_runs.MEAN),
        results=material.results,
    )
    assert titles(both) == [f"{report_runs.MEAN} against logmel"]
    said = section(both).notes[0]
    assert said.endswith("named first of those with predictions.")


def test_the_newest_rows_are_looked_for_once_a_protocol(material):
    assert material.headlines("linear") is material.headlines("linear")


def test_a_forest_is_turned_so_that_right_is_better_for_the_first(material):
    forest, ranks = section(material).comparison
    a, b = forest.title.split(" against ")
    values = material.cells("linear").set_index(["task", "model"]).value
    *lines, mean = forest.table.rows
    assert mean[0] == "mean of 3 tasks"
    for line in lines:
        task = f"{line[0]}-v1-full"
        assert line[6:8] == (f"{values[task, a]:.3f}", f"{values[task, b]:.3f}")
    better = sum(line[6] > line[7] for line in lines)
    assert ranks.table.rows[0][0] == (a if better >= 2 else b)
