"""What paths on a command line stand for."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.result_rows import row

from harness.commands.arguments import has_predictions
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
    assert has_predictions(run / part)


def test_what_only_stands_beside_a_run_has_none(run):
    assert not has_predictions(run / "foreign.csv")
    write_csv(frame([row()]), run.parent / "results.csv")
    assert not has_predictions(run.parent / "results.csv")
    (evaluation,) = run.rglob("evaluation.json")
    evaluation.unlink()
    assert not has_predictions(run)
