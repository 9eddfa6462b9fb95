"""Which results have predictions, by which paths they are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.result_rows import row

from harness.analysis.compare.gather import load
from harness.results import frame, write_csv, write_result


@pytest.fixture
def run(tmp_path) -> Path:
    """A run's folder with a table, and an unrelated table beside its results."""
    folder = tmp_path / "run"
    evaluation = folder / "results" / "model" / "task" / "linear"
    write_result(evaluation, [row()])
    (evaluation / "evaluation.json").write_text("{}")
    for name in ("results.csv", "foreign.csv"):
        write_csv(frame([row()]), folder / name)
    return folder


@pytest.mark.parametrize("part", ["", "results", "results/model", "results.csv", ".."])
def test_a_run_and_its_parts_have_predictions(run, part):
    assert load(run / part).has_predictions


def test_a_table_beside_a_run_has_none(run):
    assert not load(run / "foreign.csv").has_predictions
    write_csv(frame([row()]), run.parent / "results.csv")
    assert not load(run.parent / "results.csv").has_predictions
    (evaluation,) = run.rglob("evaluation.json")
    evaluation.unlink()
    assert not load(run).has_predictions
