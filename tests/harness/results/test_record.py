"""What a finished evaluation leaves for comparing and showing it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import task_directories
from support.records import records_of

from harness.core.errors import UserError
from harness.models.spec import ModelSpec
from harness.results import read_results
from harness.results.record import Record, read_record
from harness.run.engines import InlineEngine
from harness.run.evaluation import evaluate
from harness.run.execute import execute
from harness.run.plan import Settings, TaskSource, make_plan
from tasks.format.task import read_task

KINDS = ("scene", "kfold", "multilabel", "events")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run's folder, moved after the run; the tasks stayed where they were."""
    root = tmp_path_factory.mktemp("record")
    directories = [
        task_directories.make_task(root / "tasks", kind, n=12, seconds=1.0) for kind in KINDS
    ]
    chosen = Settings(
        models=(ModelSpec("harness.baselines.logmel", name="logmel"),),
        tasks=tuple(TaskSource(directory) for directory in directories),
        protocols=("linear",),
        out=root / "before",
    )
    execute(make_plan(chosen), InlineEngine("cpu"), chosen.out)
    return chosen.out.rename(root / "after")


@pytest.fixture(scope="module")
def records(finished) -> list[Record]:
    return records_of(finished)


def test_each_evaluation_is_found(records):
    assert len(records) == len(KINDS)
    for record in records:
        assert set(read_results([record.directory]).task) == {record.task}


def test_predictions_alone_give_the_reported_values(records):
    for record in records:
        rows = read_results([record.directory]).set_index(["split", "metric"]).value
        values = evaluate(read_task(record.task_directory), record.read_predictions())
        assert {(v.split, v.key): v.value for v in values} == pytest.approx(rows.to_dict())


def test_labels_and_targets_are_the_tasks(records):
    for record in records:
        task = read_task(record.task_directory)
        assert (record.labels, record.evaluation, record.folds) == (
            task.labels,
            task.evaluation,
            task.folds,
        )
        for fold in record.read_predictions():
            assert fold.clips == tuple(clip.name for clip in task.clips[fold.split])
            assert fold.probabilities.shape[2] == len(record.labels)


def test_embeddings_and_probes_are_found_where_the_run_is_now(records, finished):
    for record in records:
        assert set(record.embeddings) == {
            s for f in record.folds for s in (*f.train, f.valid, f.test)
        }
        for fold in record.folds:
            embedded = record.read_embeddings(fold.test)
            (prediction,) = (p for p in record.read_predictions() if p.split == fold.test)
            assert embedded.clips == prediction.clips
            (unit,) = record.read_probes(fold)
            np.testing.assert_array_equal(unit.probabilities, prediction.probabilities[0])
        assert all(path.is_relative_to(finished) for path in record.embeddings.values())


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "evaluation.json"),
        ('{"format_version": 99}', "format version 99"),
        ('{"format_version": 1}', "embedding_type is missing"),
        ("[]", "must hold fields and their values"),
        ("[" * 100_000, "evaluation.json"),
    ],
)
def test_a_damaged_record_is_named(finished, tmp_path, content, named):
    copied = Path(shutil.copytree(finished, tmp_path / "run"))
    next(copied.glob("results/*/*/*/evaluation.json")).write_text(content)
    with pytest.raises(UserError, match=named):
        records_of(copied)


@pytest.fixture
def evaluation(finished, tmp_path) -> Path:
    """The folder of one evaluation, in a copy of the run."""
    copied = Path(shutil.copytree(finished, tmp_path / "run"))
    return next(copied.glob("results/*/tiny_scene-*/*"))


def edit_json(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("task", 3, "task is 3: it must be a text"),
        (
            "embedding_type",
            "sound",
            "embedding_type is 'sound': it must be one of 'scene'",
        ),
        ("prediction_type", [], r"prediction_type is \[\]: it must be one of"),
        ("evaluation", [], "evaluation is .*: it must be a list of names"),
        ("evaluation", ["event_onset_200ms_fms"], "is not a metric of multiclass scene tasks"),
        ("evaluation", "top1_acc", "evaluation is 'top1_acc': it must be a list"),
        ("labels", ["a", "a"], "labels is .*: it must be a list of labels, each once"),
        ("folds", [], "folds is .*: it must be a list of"),
        ("folds", [3], r"folds\[0\] is 3: it must be fields"),
        (
            "folds",
            [{"name": "test", "train": ["train"], "valid": "valid"}],
            r"\.test is missing",
        ),
        ("folds", [{"name": "a", "train": ["b"], "valid": "c", "test": "../d"}], "plain name"),
        ("folds", [{"name": "a", "train": ["/b"], "valid": "c", "test": "d"}], "plain name"),
        ("probes", {}, "the test splits of probes and folds differ"),
        ("probes", {"other": ["probes/x"]}, "the test splits of probes and folds differ"),
        ("probes", {"test": ["../../probes/x"]}, "must be a folder in that of the run"),
        ("embeddings", {"test": "/etc"}, "must be a folder in that of the run"),
        ("task_directory", None, "task_directory is None: it must be"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(evaluation, key, value, named):
    path = evaluation / "evaluation.json"
    edit_json(path, lambda document: document.update({key: value}))
    with pytest.raises(UserError, match=named) as said:
        read_record(evaluation)
    assert str(path) in str(said.value)


def edit_arrays(directory: Path, **changes) -> None:
    (path,) = directory.glob("*.predictions.npz")
    with np.load(path) as saved:
        arrays = dict(saved)
    np.savez(path, **{name: changes.get(name, lambda a: a)(a) for name, a in arrays.items()})


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("probabilities", lambda p: p[:, :-1], "targets are not of 11 rows"),
        ("probabilities", lambda p: p[:, :, :-1], "targets are not all whole numbers from 0 to 2"),
        ("probabilities", lambda p: p * np.nan, "not finite"),
        ("probabilities", lambda p: p[:0], "no numbers|not numbers"),
        ("targets", lambda t: t + 1000, "from 0 to 3"),
        ("targets", lambda t: t - 1, "from 0 to 3"),
        ("targets", lambda t: t * 0.5, "from 0 to 3"),
        ("clips", lambda c: c[:-1], "offsets are not"),
        ("clips", lambda c: np.repeat(c[:1], len(c)), "contains a name twice"),
        ("clips", lambda c: np.char.add("../", c), "plain file name"),
        ("clips", lambda c: np.char.add("/home/someone/", c), "plain file name"),
        ("clips", lambda c: np.arange(len(c)), "not a list of names"),
        ("offsets", lambda o: o[::-1], "do not divide"),
    ],
)
def test_predictions_that_make_no_sense_are_refused(evaluation, name, change, said):
    edit_arrays(evaluation, **{name: change})
    with pytest.raises(UserError, match=said) as error:
        read_record(evaluation).read_predictions()
    assert "test.predictions.npz" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"cut off"])
def test_predictions_that_are_no_archive_are_refused(evaluation, content):
    (evaluation / "test.predictions.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"test\.predictions\.npz: it is not an archive of arrays"):
        read_record(evaluation).read_predictions()


def test_predictions_that_were_written_over_are_refused(evaluation):
    path = evaluation / "test.predictions.npz"
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"test\.predictions\.npz"):
        read_record(evaluation).read_predictions()


def test_predictions_of_other_labels_than_the_records_are_refused(evaluation):
    edit_json(evaluation / "evaluation.json", lambda document: document["labels"].pop())
    with pytest.raises(UserError, match=r"labels and kind of task .* beside it"):
        read_record(evaluation).read_predictions()


def _first_event(runs: list) -> dict:
    return next(event for events in runs[0].values() for event in events)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda runs: _first_event(runs).update(start="soon"), "must be a number"),
        (lambda runs: _first_event(runs).pop("label"), "lacks label"),
        (lambda runs: _first_event(runs).update(end=1e18), "more than a day away"),
        (lambda runs: runs[0].popitem(), "its clips differ"),
        (lambda runs: runs.append(runs[0]), "its number of runs differs"),
        (lambda runs: runs[0].update({next(iter(runs[0])): 3}), "not a list"),
    ],
)
def test_events_that_make_no_sense_are_refused(finished, tmp_path, change, said):
    copied = Path(shutil.copytree(finished, tmp_path / "run"))
    directory = next(copied.glob("results/*/tiny_events-*/*"))
    edit_json(directory / "test.events.json", change)
    with pytest.raises(UserError, match=said) as error:
        read_record(directory).read_predictions()
    assert "test.events.json" in str(error.value)


def test_a_record_is_read_from_within_the_runs_folder(evaluation, monkeypatch):
    run = evaluation.parents[3]
    monkeypatch.chdir(run / "results")
    (record,) = (r for r in records_of(Path()) if r.task.startswith("tiny_scene"))
    assert record.run.resolve() == run
    assert record.read_predictions()
    assert record.read_embeddings("test")


def test_missing_embeddings_say_so(records):
    with pytest.raises(UserError, match="no folder of embeddings"):
        records[0].read_embeddings("nowhere")
