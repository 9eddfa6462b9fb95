"""Marks of what is not significantly different from the best, on evaluations of real probes."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support import hear_modules, task_directories
from support.probe_seeds import accuracy_seed
from support.records import records_of
from support.result_rows import row

import harness
from harness.analysis.compare.measured import Measured
from harness.analysis.table import format_table
from harness.analysis.table.cells import cells
from harness.analysis.table.marks import _near, find_marks
from harness.cli import call
from harness.models.spec import parse_model
from harness.results import frame, load, write_csv
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, TaskSource, make_plan


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Good, middling and bad embeddings of one task with many test clips."""
    root = tmp_path_factory.mktemp("noise")
    size = {"train": 24, "valid": 12, "test": 60}
    task = task_directories.make_task(root / "tasks", "scene", n=size, seconds=0.3, classes=8)
    (root / "toy.py").write_text(hear_modules.SOURCE)
    (root / "coarse.py").write_text(
        "from harness.baselines.logmel import load_model, get_timestamp_embeddings\n"
        "from harness.baselines import logmel\n"
        "def get_scene_embeddings(audio, model):\n"
        "    embeddings = logmel.get_scene_embeddings(audio, model)\n"
        "    embeddings[:, 38:] = 0\n"
        "    return embeddings\n"
    )
    names = ("harness.baselines.logmel,name=logmel", f"{root}/toy.py", f"{root}/coarse.py")
    models = tuple(map(parse_model, names))
    settings = Settings(models, (TaskSource(task),), ("knn",), out=root / "run")
    execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    return settings.out


def right(run: Path, model: str) -> np.ndarray:
    """Which test clips a model has right."""
    (record,) = records_of(run / "results" / model)
    (fold,) = record.read_predictions()
    return fold.probabilities[0].argmax(axis=1) == fold.targets


def test_marks_are_those_of_mcnemars_test_and_holms_correction(finished):
    table = load(finished)
    values = table[table.is_primary & (table.split == "all")].set_index("model").value
    best, *others = values.sort_values(ascending=False).index
    p = {}
    for other in others:
        one, two = right(finished, best), right(finished, other)
        alone = int((one & ~two).sum()), int((two & ~one).sum())
        p[other] = stats.binomtest(alone[0], sum(alone)).pvalue
    lowest, highest = sorted(p, key=lambda model: p[model])
    assert 2 * p[lowest] < 0.05 < p[highest] < 1  # one of each kind is here to be told
    marks = find_marks(table, finished)
    assert dict(marks.near) == {("knn", "tiny_scene-v1-full"): {highest: True, lowest: False}}
    assert not marks.unpaired
    near = cells(table, "knn", marks=marks).set_index(["model", "task"]).near
    assert near[highest, "tiny_scene-v1-full"]
    assert not near[lowest, "tiny_scene-v1-full"]


@pytest.mark.parametrize("named", ["folder", "csv"])
def test_the_command_marks_and_says_the_rule(finished, tmp_path, capsys, named):
    path = finished if named == "folder" else finished / "results.csv"
    if named == "csv":
        write_csv(load(finished), path)
    assert call(["results", "table", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("† [") == 1
    assert "p >= 0.05, Holm-corrected for the models of the task" in printed
    assert call(["results", "table", str(path), "--no-marks"]) == 0
    assert "marked" not in capsys.readouterr().out
    alone = tmp_path / "alone.csv"
    write_csv(load(finished), alone)
    assert call(["results", "table", str(alone)]) == 0
    assert "No model is marked" in capsys.readouterr().out


def test_a_run_after_the_module_changed_marks_the_new_model(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    names = ("harness.baselines.logmel,name=logmel", f"{finished.parent}/coarse.py,name=toy")
    task = finished.parent / "tasks" / "tiny_scene-v1-full"
    models = tuple(map(parse_model, names))
    settings = Settings(models, (TaskSource(task),), ("knn",), out=run)
    table = execute(make_plan(settings), InlineEngine("cpu"), run).table
    assert set(table.model) == {"logmel", "toy"}
    marks = find_marks(table, run)
    assert not marks.unpaired
    before = find_marks(load(finished)[lambda rows: rows.model != "toy"], finished)
    place = ("knn", "tiny_scene-v1-full")
    assert marks.near[place] == {"toy": before.near[place]["coarse"]}


def test_what_has_no_predictions_is_named_and_has_no_mark(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    for path in run.glob("results/coarse/*/*/*.npz"):
        path.unlink()
    marks = find_marks(load(run), run)
    assert dict(marks.near) == {("knn", "tiny_scene-v1-full"): {"toy": False}}
    (said,) = marks.unpaired
    assert said.startswith("coarse on tiny_scene-v1-full by knn (")
    assert "without a mark: coarse" in format_table(load(run), marks=marks)


def test_predictions_of_another_result_give_no_mark(finished, tmp_path):
    path = shutil.copytree(finished, tmp_path / "run") / "results.csv"
    table = load(finished)
    table["value"] = table.value.where(table.model != "coarse", table.value - 0.01)
    write_csv(table, path)
    (said,) = find_marks(load(path), path).unpaired
    assert "coarse" in said
    assert "give another result" in said


def test_other_clips_give_no_mark_and_keep_no_other_model_from_its_own(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    whole = find_marks(load(run), run)
    (path,) = run.glob("results/coarse/*/*/*.npz")
    with np.load(path) as saved:
        content = dict(saved)
    np.savez(path, **content | {"clips": np.array([f"{clip}x" for clip in content["clips"]])})
    marks = find_marks(load(run), run)
    (told,) = marks.near.values()
    assert told.keys() == {"toy"}
    assert "coarse" in next(iter(whole.near.values()))
    (said,) = marks.unpaired
    assert said.startswith("coarse on tiny_scene-v1-full by knn (")
    assert "different clips" in said
    assert call(["results", "table", str(run)]) == 0
    assert "without a mark: coarse on tiny_scene" in capsys.readouterr().out


def test_what_a_test_cannot_tell_is_named_and_has_no_mark(tmp_path):
    size = {"train": 12, "valid": 6, "test": 1}
    task = task_directories.make_task(tmp_path, "scene", n=size, seconds=0.3, classes=2)
    names = [f"harness.baselines.logmel,name={name}" for name in "ab"]
    models = tuple(map(parse_model, names))
    settings = Settings(models, (TaskSource(task),), ("knn",), out=tmp_path / "run")
    execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    table = load(settings.out)
    table["value"] = table.value.where(table.model == "a", table.value - 0.1)
    marks = find_marks(table, settings.out)
    assert not marks.near
    (said,) = marks.unpaired
    assert said == "b on tiny_scene-v1-full by knn (none: a test set of one clip a fold)"


def test_marks_do_not_depend_on_which_of_two_equal_models_is_named_first(tmp_path):
    # Both have 30 of 60 right; a third one shares 29 of the first's, and none of the second's.
    hits = {"x": range(30), "y": range(30, 60), "other": range(29)}
    marks = []
    for names in ({"x": "m1", "y": "m2"}, {"x": "m2", "y": "m1"}):
        measured = {names.get(model, model): [one_seed(60, own)] for model, own in hits.items()}
        near, missing = _near(measured, {"m1", "m2"})
        marks.append(near)
        assert not missing
    assert marks == [{"other": True}] * 2


def one_seed(n: int, hits: Iterable[int]) -> Measured:
    right = np.isin(np.arange(n), list(hits)).astype(float)
    return accuracy_seed(right)


def test_a_run_that_was_gathered_is_not_read_again(finished, tmp_path):
    table, results = load(finished), harness.load([finished])
    assert find_marks(table, results) == find_marks(table, finished)


def test_without_a_run_nothing_is_compared(tmp_path):
    table = frame([row(model="a"), row(model="b", value=0.6)])
    marks = find_marks(table, tmp_path)
    assert not marks.near
    text = format_table(table, marks=marks)
    assert "different from the best, because that needs the predictions in a run's folder." in text


def test_what_is_read_twice_is_warned_of_once(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    path = run / "results.csv"
    head, first, *others = path.read_text().splitlines()
    path.write_text("\n".join([head + ",remark", *(f"{line},?" for line in (first, *others))]))
    assert call(["results", "table", str(path)]) == 0
    assert capsys.readouterr().err.count("remark") == 1
