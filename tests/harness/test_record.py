"""What a finished evaluation leaves for comparing and showing it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import taskmaker

from harness.engines import InlineEngine
from harness.errors import UserError
from harness.module import ModelSpec
from harness.record import Record, find_records
from harness.run.evaluation import evaluate
from harness.run.execute import execute
from harness.run.plan import Settings, TaskSource, make_plan
from harness.task import read_task

KINDS = ("scene", "kfold", "multilabel", "events")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run's folder, moved after the run; the tasks stayed where they were."""
    root = tmp_path_factory.mktemp("record")
    directories = [taskmaker.make_task(root / "tasks", kind, n=12, seconds=1.0) for kind in KINDS]
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
    return list(find_records(finished))


def test_each_evaluation_is_found(records):
    assert len(records) == len(KINDS)
    for record in records:
        assert set(record.rows().task) == {record.task}


def test_predictions_alone_give_the_reported_values(records):
    for record in records:
        rows = record.rows().set_index(["split", "metric"]).value
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
        ('{"format_version": 1}', "task"),
    ],
)
def test_a_damaged_record_is_named(finished, tmp_path, content, named):
    copied = Path(shutil.copytree(finished, tmp_path / "run"))
    next(copied.glob("results/*/*/*/evaluation.json")).write_text(content)
    with pytest.raises(UserError, match=named):
        list(find_records(copied))


def test_what_an_older_harness_finished_is_passed_over(finished, tmp_path):
    copied = Path(shutil.copytree(finished, tmp_path / "run"))
    next(copied.glob("results/*/*/*/evaluation.json")).unlink()
    assert len(list(find_records(copied))) == len(KINDS) - 1


def test_missing_embeddings_say_so(records):
    with pytest.raises(UserError, match="no folder of embeddings"):
        records[0].read_embeddings("nowhere")
