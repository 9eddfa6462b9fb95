from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import pytest
from support import task_directories

from harness.core.errors import UserError
from tasks.format.files import TaskFiles
from tasks.format.task import (
    Event,
    Fold,
    multiclass_targets,
    multilabel_targets,
    read_task,
    without_clips,
)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return task_directories.make_task(tmp_path, "scene", n=4, seconds=0.05)


def test_reads_what_the_files_say(tmp_path: Path) -> None:
    directory = task_directories.make_task(tmp_path, "scene", n=4, seconds=0.05, pitch_range_min=21)
    task = read_task(directory)
    assert task.name == directory.name == "tiny_scene-v1-full"
    assert (task.embedding_type, task.prediction_type) == ("scene", "multiclass")
    assert task.splits == ("train", "valid", "test")
    assert task.primary_metric == "top1_acc"
    assert task.sample_duration == 0.05
    assert task.use_scoring_for_early_stopping is True
    assert task.event_postprocessing_grid is None
    assert task.task_specific_param_grid == {}
    assert task.metadata["pitch_range_min"] == 21, "keys that are not ours are kept"
    assert [clip.name for clip in task.clips["valid"]] == [f"valid-{i:04d}.wav" for i in range(4)]


def test_clips_keep_the_files_order(scene: Path) -> None:
    task_directories.edit_json(scene / "train.json", lambda t: dict(reversed(list(t.items()))))
    names = [clip.name for clip in read_task(scene).clips["train"]]
    assert names == [f"train-{i:04d}.wav" for i in (3, 2, 1, 0)]


def test_an_unchanged_table_is_parsed_once(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_task(scene)
    parsed: list[str] = []
    parse = TaskFiles.parse
    monkeypatch.setattr(
        TaskFiles, "parse", lambda self, name, text: parsed.append(name) or parse(self, name, text)
    )
    assert read_task(scene) == first
    assert parsed == ["task_metadata.json"]
    task_directories.edit_json(scene / "valid.json", lambda t: dict(reversed(list(t.items()))))
    assert read_task(scene).clips["valid"] == first.clips["valid"][::-1]
    assert parsed == ["task_metadata.json", "task_metadata.json", "valid.json"]


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_left_as_it_was(scene: Path, enabled: bool) -> None:
    (scene / "valid.json").write_text(f" {(scene / 'valid.json').read_text()}")
    (scene / "test.json").write_text("{")
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(UserError, match=r"test\.json: not JSON"):
            read_task(scene)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_a_fault_of_a_table_is_reported_each_time(scene: Path) -> None:
    table = (scene / "valid.json").read_text()
    first = next(iter(json.loads(table)))
    (scene / "valid.json").write_text(f'{{"{first}": ["a"], {table.lstrip("{ ")}')
    for _ in range(2):
        with pytest.raises(UserError, match=f"valid.json: the key '{first}' occurs twice"):
            read_task(scene)


def test_no_label_is_taken_for_a_number_or_a_gap(tmp_path: Path) -> None:
    labels = ["01", "1", "None", "NA", "nan", "1.0", "true", "a, b", 'say "x"', "ü"]
    directory = task_directories.make_task(tmp_path, "scene", n=10, seconds=0.05, classes=labels)
    rows = "".join(
        f"{i},{label}\n" if "," not in label and '"' not in label else f"{i},{quote(label)}\n"
        for i, label in enumerate(labels)
    )
    (directory / "labelvocabulary.csv").write_text("idx,label\n" + rows, encoding="utf-8")
    task = read_task(directory)
    assert task.labels == tuple(labels)
    assert multiclass_targets(task, "train").tolist() == list(range(10))


def quote(label: str) -> str:
    return '"' + label.replace('"', '""') + '"'


def test_numbers_in_json_compare_as_text(tmp_path: Path) -> None:
    task = read_task(task_directories.make_task(tmp_path, "pitch", n=3, seconds=0.05))
    assert task.labels[0] == "60"
    assert task.clips["test"][2].labels == ("62",)
    assert multiclass_targets(task, "test").tolist() == [0, 1, 2]
    assert multiclass_targets(task, "test").dtype == np.int64


def test_vocabulary_is_ordered_by_idx_and_may_have_windows_ends(scene: Path) -> None:
    text = "\ufeffidx,label\r\n1,class01\r\n0,class00\r\n3,class03\r\n2,class02\r\n"
    (scene / "labelvocabulary.csv").write_bytes(text.encode())
    assert read_task(scene).labels == ("class00", "class01", "class02", "class03")


def test_multilabel_targets_are_multi_hot(tmp_path: Path) -> None:
    directory = task_directories.make_task(tmp_path, "multilabel", n=3, seconds=0.05)
    table = {"a.wav": ["class01", "class03"], "b.wav": [], "c.wav": ["class00"]}
    (directory / "test.json").write_text(json.dumps(table))
    targets = multilabel_targets(read_task(directory), "test")
    assert targets.dtype == np.float32
    assert targets.tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_targets_name_the_clip_that_has_none(scene: Path) -> None:
    task_directories.edit_json(scene / "test.json", lambda t: {**t, "test-0001.wav": ["clas02"]})
    task_directories.edit_json(scene / "valid.json", lambda t: {**t, "valid-0002.wav": []})
    task = read_task(scene)
    with pytest.raises(UserError, match=r"'clas02' of clip 'test-0001\.wav'.*'class02'"):
        multiclass_targets(task, "test")
    with pytest.raises(UserError, match=r"'valid-0002\.wav' has 0 labels"):
        multiclass_targets(task, "valid")


def test_events_are_read_in_milliseconds(tmp_path: Path) -> None:
    task = read_task(task_directories.make_task(tmp_path, "notes", n=1))
    events = task.clips["fold00"][0].events
    assert all(isinstance(event, Event) for event in events)
    assert events[1].label == "61"
    assert 1000 < events[1].start < events[1].end < 2000
    assert task.event_postprocessing_grid == {"median_filter_ms": (150,), "min_duration": (50,)}
    assert task.task_specific_param_grid["max_epochs"] == (50,)
    assert task.use_scoring_for_early_stopping is False


def test_train_valid_test_is_one_fold(scene: Path) -> None:
    assert read_task(scene).folds == (Fold("test", ("train",), "valid", "test"),)


@pytest.mark.parametrize("mode", ["new_split_kfold", "presplit_kfold"])
def test_fold_i_tests_and_the_next_validates(tmp_path: Path, mode: str) -> None:
    directory = task_directories.make_task(
        tmp_path, "kfold", n=1, seconds=0.05, folds=4, split_mode=mode
    )
    folds = read_task(directory).folds
    assert folds[1] == Fold("fold01", ("fold00", "fold03"), "fold02", "fold01")
    assert folds[3] == Fold("fold03", ("fold01", "fold02"), "fold00", "fold03")
    assert [fold.name for fold in folds] == ["fold00", "fold01", "fold02", "fold03"]


def test_folds_rotate_in_alphabetical_order_whatever_the_metadatas(tmp_path: Path) -> None:
    directory = task_directories.make_task(tmp_path, "kfold", n=1, seconds=0.05)
    task_directories.edit_metadata(directory, splits=["fold02", "fold00", "fold01"])
    task = read_task(directory)
    assert task.splits == ("fold02", "fold00", "fold01")
    assert task.folds[0] == Fold("fold00", ("fold02",), "fold01", "fold00")


def test_untrimmed_clips_have_no_duration(scene: Path) -> None:
    task_directories.edit_metadata(scene, sample_duration=None)
    assert read_task(scene).sample_duration is None


def test_hashes_follow_the_bytes(scene: Path) -> None:
    before = read_task(scene)
    assert read_task(scene).sha256 == before.sha256
    task_directories.edit_json(scene / "valid.json", lambda t: {**t, "valid-0000.wav": ["class03"]})
    after = read_task(scene)
    assert after.sha256 != before.sha256
    assert after.split_sha256("valid") != before.split_sha256("valid")
    assert after.split_sha256("train") == before.split_sha256("train")


def test_a_task_without_clips_is_another_task(scene: Path) -> None:
    task = read_task(scene)
    fewer = without_clips(task, {"train": ["train-0001.wav", "no-such.wav"], "test": []})
    assert [clip.name for clip in fewer.clips["train"]] == [f"train-{i:04d}.wav" for i in (0, 2, 3)]
    assert fewer.clips["test"] == task.clips["test"]
    assert fewer.skipped == {"train": ("train-0001.wav",)}
    assert fewer.sha256 != task.sha256
    assert fewer.split_sha256("test") == task.split_sha256("test")
    assert without_clips(task, {"test": []}).sha256 == task.sha256
    assert len(multiclass_targets(fewer, "train")) == 3


def test_every_problem_is_named_at_once(scene: Path) -> None:
    task_directories.edit_metadata(
        scene, split_mode="trainvaltets", version=..., sample_duration="1.0"
    )
    (scene / "labelvocabulary.csv").unlink()
    with pytest.raises(UserError) as error:
        read_task(scene)
    message = str(error.value)
    assert "Did you mean 'trainvaltest'?" in message
    assert "version is missing" in message
    assert "sample_duration is '1.0': it must be a number of seconds" in message
    assert "labelvocabulary.csv: the file is missing" in message


def test_a_wrong_folder_is_told_from_a_wrong_name(scene: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder\. Did you mean 'tiny_scene-v1-full'"):
        read_task(scene.parent / "tiny_scene-v1")
    with pytest.raises(UserError, match="folder 'tiny_scene-v1-full' inside it has one"):
        read_task(scene.parent)
