"""Results in Python: what the functions of ``import harness`` say is what commands print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import task_directories
from support.hear_modules import write_module

import harness
from harness.cli import cli


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of two models on two tasks by two protocols."""
    root = tmp_path_factory.mktemp("reading")
    kinds = ("scene", "multilabel")
    tasks = [task_directories.make_task(root, kind, n=12, seconds=0.3) for kind in kinds]
    toy = write_module(root, "toy")
    models = {"logmel": "harness.baselines.logmel", "toy": toy}
    harness.evaluate(models, tasks, protocols=["knn", "linear"], out=root / "run", progress=False)
    return root / "run"


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def test_results_are_loaded_from_a_folder_a_csv_or_several(run):
    whole = harness.load(run)
    assert repr(whole) == "<Results: 2 models, 2 tasks, 2 protocols>"
    assert whole.has_predictions
    table = harness.table(whole, "linear")
    assert sorted(table.index) == ["logmel", "toy"]
    assert list(table.tasks) == ["2/2", "2/2"]
    for runs in (str(run), run / "results.csv", [run, run / "results.csv"]):
        assert harness.table(harness.load(runs), "linear").equals(table)
        assert harness.table(runs, "linear").equals(table)
    assert list(harness.table(whole.select(tasks=["tiny_scene"]), "linear").tasks) == ["1/1", "1/1"]


def test_results_without_predictions_say_so(run, tmp_path):
    copied = tmp_path / "all.csv"
    copied.write_bytes((run / "results.csv").read_bytes())
    results = harness.load(copied)
    assert not results.has_predictions
    (one, other) = harness.compare(results, ["toy", "logmel"], "linear").tasks.verdict
    assert f"{copied} contains no predictions. Name the run's folder instead." in one
    assert one == other


def test_tables_and_comparisons_are_those_of_the_commands(run):
    assert harness.format_table(run) == printed("results", "table", str(run))
    assert harness.format_table(run, "csv", marks=False, baselines=["toy"]) == printed(
        "results", "table", str(run), "--format", "csv", "--no-marks", "--baseline", "toy"
    )
    found = harness.compare(run, ["toy", "logmel"], "linear")
    assert isinstance(found, harness.Comparison)
    told = printed("results", "compare", "toy", "logmel", str(run), "--protocol", "linear")
    for value in found.tasks.difference:
        assert f"{value:+.3f}" in told
    power = harness.power(run, ["toy", "logmel"], "linear", difference=0.05)
    assert set(power.task) >= {"tiny_scene-v1-full", "mean"}
    assert power.power.between(0, 1).all()


def test_a_report_is_written(run, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    lines: list[str] = []
    page = harness.write_report(
        harness.load(run), tmp_path / "r.html", protocols=["linear"], title="Mine", say=lines.append
    )
    text = page.read_text("utf-8")
    assert "<title>Mine</title>" in re.sub(r"\s*(</?title>)\s*", r"\1", text)
    assert lines


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda run: harness.load([]), "No results are named"),
        (lambda run: harness.load(run / "nothing"), "nothing"),
        (lambda run: harness.table(run), "several protocols. Name one of knn, linear"),
        (lambda run: harness.table(run, "linea"), "Did you mean 'linear'"),
        (lambda run: harness.compare(run, ["toy", "logmell"]), "Did you mean 'logmel'"),
        (lambda run: harness.compare(run, ["toy", "logmel"]), "Choose a protocol"),
        (lambda run: harness.format_table(run, "markdow"), "markdow"),
        (lambda run: harness.write_report(run, models=["bol"]), "No results of the model 'bol'"),
    ],
)
def test_mistakes_are_user_errors(run, call, said):
    with pytest.raises(harness.UserError, match=said):
        call(run)


def test_the_lists_hold_names_that_other_functions_take(tmp_path):
    protocols = harness.list_protocols().set_index("protocol")
    assert protocols.tasks["linear"] == "multiclass, multilabel, event"
    assert protocols.description["linear"].startswith("logistic regression")
    metrics = harness.list_metrics().set_index("metric")
    assert metrics.higher_is_better["mAP"]
    assert not metrics.higher_is_better["segment_1s_er"]
    assert metrics.embedding_type["segment_1s_er"] == "event"
    tasks = harness.list_tasks(tmp_path).set_index("task")
    assert tasks.here["demo_pipe_pitch"]
    assert not tasks.here["esc50"]
    assert set(tasks.metric) <= set(metrics.index)
    assert set(harness.list_tasks(tmp_path, "demo").suite) == {"demo"}
    with pytest.raises(harness.UserError, match="No suite 'dem'"):
        harness.list_tasks(tmp_path, "dem")
