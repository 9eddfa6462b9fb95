"""Synthetic task directories: sizes, what they say of themselves, mistakes, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.commands.tasks import tasks as command
from harness.core.errors import UserError
from harness.metrics.events import Postprocessing, frames_to_events
from harness.metrics.registry import event_metric, find_metric, scene_metric
from harness.metrics.scene_metric import multi_hot
from tasks.audio import audio_path, decode
from tasks.check import check_task
from tasks.find import find_suite, find_task
from tasks.format.task import multiclass_targets, multilabel_targets, read_task
from tasks.synthetic import KINDS, make_synthetic, new_task

SMALL = {
    "multiclass": {"clips": 40, "classes": 4, "seconds": 0.25},
    "multilabel": {"clips": 40, "classes": 4, "seconds": 0.25},
    "pitch": {"clips": 130, "classes": 13, "seconds": 0.16},
    "kfold": {"clips": 18, "classes": 3, "folds": 3, "seconds": 0.25},
    "presplit": {"clips": 24, "classes": 3, "folds": 4, "seconds": 0.25},
    "events": {"clips": 10, "classes": 3, "seconds": 4.8},
    "notes": {"clips": 9, "classes": 3, "folds": 3, "seconds": 3.4},
}


def small(kind: str, tasks_dir: Path, **changes) -> Path:
    return make_synthetic(kind, tasks_dir, rates=(16000,), **{**SMALL[kind], **changes})


@pytest.fixture(scope="module")
def directories(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("synthetic")
    return {kind: small(kind, root) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_task_without_findings(directories, kind):
    assert check_task(directories[kind]) == []
    task = read_task(directories[kind])
    assert task.evaluation == KINDS[kind].evaluation
    assert task.split_mode == KINDS[kind].split_mode
    assert sum(map(len, task.clips.values())) == SMALL[kind]["clips"]
    assert len(task.labels) == SMALL[kind]["classes"]
    assert len(task.folds) == SMALL[kind].get("folds", 1)
    for clips in task.clips.values():
        audio, info = decode(audio_path(task, clips[0].name.split("-")[0], clips[0].name, 16000))
        assert info.seconds == pytest.approx(SMALL[kind]["seconds"])
        assert 0.04 < np.abs(audio).max() < 1


def test_the_splits_are_60_20_and_20_percent():
    task = new_task("multiclass", clips=50, classes=4)
    sizes = [sum(clip.split == split for clip in task.clips) for split in task.splits]
    assert sizes == [30, 10, 10]


def test_folds_can_be_had_of_every_kind():
    task = new_task("pitch", clips=41, classes=3, folds=4)
    assert task.split_mode == "new_split_kfold"
    sizes = [sum(clip.split == split for clip in task.clips) for split in task.splits]
    assert sizes == [11, 10, 10, 10]


def test_equal_arguments_give_equal_tasks_and_another_seed_others():
    def made(seed: int):
        return new_task("events", clips=10, classes=3, seed=seed)

    assert made(1) == made(1)
    assert made(1).clips != made(2).clips


def test_the_same_arguments_again_do_nothing_and_others_are_refused(directories):
    root = directories["kfold"].parent
    before = {path: path.stat().st_mtime_ns for path in directories["kfold"].rglob("*.wav")}
    assert small("kfold", root) == directories["kfold"]
    assert {path: path.stat().st_mtime_ns for path in directories["kfold"].rglob("*.wav")} == before
    with pytest.raises(UserError, match="made from something else"):
        small("kfold", root, seed=1)
    made = make_synthetic("kfold", str(root), rates=(16000,), **SMALL["kfold"], name="other")
    assert made == root / "other-v2-synthetic"


def test_what_was_changed_on_the_card_by_hand_stays(directories):
    path = directories["kfold"] / "card.yaml"
    path.write_text(path.read_text().replace("title: Synthetic kfold", "title: Mine"))
    small("kfold", directories["kfold"].parent)
    assert "title: Mine" in path.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_says_everywhere_that_it_is_synthetic(directories, kind):
    directory = directories[kind]
    metadata = json.loads((directory / "task_metadata.json").read_text())
    assert directory.name == f"{kind}-v2-synthetic"
    assert metadata["suite"] == metadata["mode"] == "synthetic"
    assert metadata["synthetic"]["kind"] == kind
    assert find_task(kind, directory.parent) == (directory, "synthetic")
    found = dict(find_suite("synthetic", directory.parent))
    assert found[directory] == "synthetic"
    listed = CliRunner().invoke(command, ["list", "--tasks-dir", str(directory.parent)]).output
    (line,) = (line for line in listed.splitlines() if line.startswith(f"{kind} "))
    assert line.split()[1] == "synthetic"
    shown = CliRunner().invoke(command, ["show", kind, "--tasks-dir", str(directory.parent)])
    assert "suite: synthetic" in shown.output
    assert "sounds are made up" in shown.output


@pytest.mark.parametrize("kind", [k for k in KINDS if KINDS[k].embedding_type == "scene"])
def test_known_scores_are_what_is_scored(directories, kind):
    task = read_task(directories[kind])
    known = task.metadata["synthetic"]
    read = multilabel_targets if task.prediction_type == "multilabel" else multiclass_targets
    for metric in task.evaluation:
        perfect, blind = [], []
        for fold in task.folds:
            targets = read(task, fold.test)
            told = multi_hot(targets, len(task.labels)).astype(float)
            perfect.append(scene_metric(metric).score(told, targets).value)
            # Each label's turn to be guessed for all clips alike: the mean over all such guesses.
            guesses = [np.tile(row, (len(told), 1)) for row in np.eye(len(task.labels))]
            blind.append(np.mean([scene_metric(metric).score(g, targets).value for g in guesses]))
        assert known["best"][metric] == pytest.approx(np.mean(perfect))
        assert known["chance"][metric] == pytest.approx(np.mean(blind), abs=1e-12)


@pytest.mark.parametrize("kind", ["events", "notes"])
def test_known_event_scores_are_what_is_scored(directories, kind):
    task = read_task(directories[kind])
    known = task.metadata["synthetic"]
    clips = task.clips[task.folds[0].test]
    reference = {clip.name: clip.events for clip in clips}
    times = np.arange(300) * 10.0
    never_changing = frames_to_events(
        np.ones((len(times), 3)), times, task.labels, Postprocessing()
    )
    for metric in task.evaluation:

        def value(predicted, metric=metric):
            return event_metric(metric).value(event_metric(metric).count(predicted, reference))

        assert value(reference) == known["best"][metric]
        assert value({name: [] for name in reference}) == known["chance"][metric]
        if metric != "segment_1s_er":
            assert value(dict.fromkeys(reference, never_changing)) == known["chance"][metric]


def test_chance_of_chroma_counts_the_labels_of_each_chroma():
    # 13 pitches: the first and the last share a chroma.
    truth = [np.eye(13, dtype=bool)]
    assert find_metric("chroma_acc").chance(truth) == pytest.approx((11 + 4) / 169)
    assert find_metric("pitch_acc").chance(truth) == pytest.approx(1 / 13)
    assert find_metric("chroma_acc").best(truth) == 1.0


@pytest.mark.parametrize(
    ("kind", "sizes", "words"),
    [
        ("event", {}, "Did you mean 'events'"),
        ("pitch", {"classes": 89}, "2 to 88, not 89"),
        ("pitch", {"clips": 235}, r"the split 'valid' .* 47 clips.*--clips 240 or more"),
        ("multiclass", {"seconds": 0.2}, r"0\.211 s or more"),
        ("pitch", {"classes": 88, "clips": 500}, r"1\.50[45] s or more"),
        ("notes", {"seconds": 1.6}, r"--seconds 1\.7 or more"),
        ("events", {"clips": 7}, "--clips 10 or more"),
        ("kfold", {"folds": 2}, "--folds must be 3 or more"),
        ("kfold", {"seconds": -1.0}, "--seconds must be above 0"),
        ("kfold", {"seconds": float("nan")}, "--seconds must be above 0"),
        ("kfold", {"name": "a/b"}, "--name 'a/b'"),
        ("kfold", {"seed": -1}, "--seed must be 0 or more"),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(tmp_path, kind, sizes, words):
    with pytest.raises(UserError, match=words):
        make_synthetic(kind, tmp_path, **sizes)
    assert list(tmp_path.iterdir()) == []


def test_the_command_makes_a_task_and_refuses_what_is_for_recordings(tmp_path):
    def call(*arguments: str):
        return CliRunner().invoke(command, ["make", *arguments, "--tasks-dir", str(tmp_path)])

    sizes = ["--clips=12", "--classes=2", "--folds=3", "--seconds=0.25", "--seed=3"]
    done = call("--synthetic=kfold", "--name=mine", *sizes, "--sample-rate=16000", "--jobs=1")
    assert done.exit_code == 0, done.output
    task = read_task(tmp_path / "mine-v2-synthetic")
    assert (len(task.labels), len(task.splits), task.sample_duration) == (2, 3, 0.25)
    assert task.metadata["synthetic"]["seed"] == 3
    for arguments, word in (
        (["--synthetic", "kfold", "--domain", "music"], "--domain"),
        (["--synthetic", "kfold", "labels.csv"], "LABELS"),
        (["--clips", "9"], "--clips"),
        ([], "LABELS"),
    ):
        failed = call(*arguments)
        assert isinstance(failed.exception, UserError)
        assert word in str(failed.exception)


def test_the_help_names_every_kind():
    asked = CliRunner().invoke(cli, ["tasks", "make", "--help"], prog_name="hear-byola")
    text = " ".join(asked.output.split())
    assert f"{', '.join(list(KINDS)[:-1])} or {list(KINDS)[-1]}" in text
