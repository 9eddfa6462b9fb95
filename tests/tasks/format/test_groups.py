"""Groups of a task: read from groups.csv or from clips' names, and kept with predictions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support import task_directories

from harness.analysis.compare.influences import in_order
from harness.core.errors import UserError
from harness.models.spec import ModelSpec
from harness.results.predictions import FoldPredictions, read_predictions, write_predictions
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.listener import Listener
from harness.run.plan import Settings, make_plan
from tasks.check import check_task
from tasks.format.groups import derive_groups, groups_table
from tasks.format.task import TaskSource, read_task, without_clips

SPLITS = ("train", "valid", "test")
PATTERN = r"\w+-\d\d(\d)\d\.wav"  # tens of the number in the names of clips


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return task_directories.make_task(tmp_path / "tasks", "scene", n=4, seconds=0.05)


def clips_of(directory: Path) -> list[str]:
    return [clip.name for split in read_task(directory).clips.values() for clip in split]


def write_groups(directory: Path, n_groups: int = 3, **changes: str) -> dict[str, str]:
    """Deal the clips over groups; ``changes`` names another group for a clip's stem."""
    groups = {name: f"g{i % n_groups}" for i, name in enumerate(clips_of(directory))}
    groups |= {f"{stem}.wav".replace("_", "-"): group for stem, group in changes.items()}
    (directory / "groups.csv").write_text(groups_table(groups), "utf-8")
    return groups


def read_groups(directory: Path, pattern: str = "") -> dict[str, str]:
    task = read_task(directory, pattern)
    return {clip.name: clip.group for split in task.clips.values() for clip in split}


def test_a_task_without_groups_has_none(scene: Path) -> None:
    task = read_task(scene)
    assert not task.has_groups
    assert task.groups_sha256 == ""
    assert task.sha256 == task.tables_sha256
    assert {clip.group for clip in task.clips["test"]} == {""}


def test_groups_are_read_for_every_clip_of_every_split(scene: Path) -> None:
    groups = write_groups(scene, train_0001="a, b", valid_0001='say "x"', test_0001="ü 01")
    assert read_groups(scene) == groups
    assert read_task(scene).has_groups


def test_the_file_may_have_other_columns_and_windows_ends(scene: Path) -> None:
    rows = "".join(f"x,s,{name}\r\n" for name in clips_of(scene))
    (scene / "groups.csv").write_bytes(f"\ufeffnote,group,clip\r\n{rows}".encode())
    assert set(read_groups(scene).values()) == {"s"}


def test_a_clip_of_several_splits_has_one_group(tmp_path: Path) -> None:
    directory = task_directories.make_task(tmp_path, "kfold", n=2, seconds=0.05)
    for fold in ("fold01", "fold02"):
        task_directories.edit_json(
            directory / f"{fold}.json", lambda t: {**t, "fold00-0000.wav": ["x"]}
        )
    write_groups(directory)
    task = read_task(directory)
    shared = [c.group for clips in task.clips.values() for c in clips if c.name[:6] == "fold00"]
    assert len(set(shared[:1] + shared[2:])) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("clip,group", "clip,speaker", "lacks group"),
        ("train-0001.wav,g1\n", "", "1 of 12 clips has no row, for example 'train-0001.wav'"),
        ("train-0001.wav", "train-0009.wav", "no split contains a clip 'train-0009.wav'"),
        ("valid-0000.wav", "test-0000.wav", "line 10: clip 'test-0000.wav' is also on line 2"),
        ("train-0001.wav,g1", "train-0001.wav,", "line 7: the clip or its group is empty"),
        ("train-0001.wav,g1", "train-0001.wav, ", "line 7: the clip or its group is empty"),
        ("g1", "\udce4", "groups.csv: the file is not UTF-8"),
        ("train", "other", "a clip 'other-0000.wav' (3 more such lines)."),
    ],
)
def test_faults_are_told_by_line(scene: Path, old: str, new: str, said: str) -> None:
    write_groups(scene)
    path = scene / "groups.csv"
    path.write_bytes(path.read_text().replace(old, new).encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"groups\.csv") as error:
        read_task(scene)
    assert said in str(error.value)


@pytest.mark.parametrize("file", ["test.json", "task_metadata.json"])
def test_a_file_that_cannot_be_read_is_no_fault_of_the_groups(scene: Path, file: str) -> None:
    write_groups(scene)
    (scene / file).write_text("[]")
    with pytest.raises(UserError) as error:
        read_task(scene)
    assert "groups.csv" not in str(error.value)


def test_a_pattern_reads_groups_from_names_unless_there_is_a_file(scene: Path) -> None:
    task_directories.edit_json(scene / "test.json", lambda t: {**t, "test-0012.wav": ["class00"]})
    assert read_groups(scene, PATTERN)["test-0012.wav"] == "1"
    assert read_groups(scene, PATTERN)["train-0002.wav"] == "0"
    groups = write_groups(scene)
    assert read_groups(scene, PATTERN) == groups


def test_a_pattern_that_does_not_fit_every_name_gives_no_groups(scene: Path) -> None:
    task_directories.edit_json(scene / "test.json", lambda t: {**t, "odd.wav": ["class00"]})
    task = read_task(scene, PATTERN)
    assert (task.has_groups, task.ungrouped) == (False, "odd.wav")
    assert derive_groups(r"(\d*)x", ["1x", "x"]) == ({}, "x"), "an empty group is none"


def test_hashes_follow_the_groups_wherever_they_are_from(scene: Path) -> None:
    plain = read_task(scene)
    derived = read_task(scene, PATTERN)
    (scene / "groups.csv").write_text(groups_table(read_groups(scene, PATTERN)), "utf-8")
    from_file = read_task(scene)
    write_groups(scene)
    others = read_task(scene)
    assert derived.sha256 == from_file.sha256
    assert len({task.sha256 for task in (plain, derived, others)}) == 3
    assert len({task.tables_sha256 for task in (plain, derived, others)}) == 1
    assert plain.split_sha256("test") == others.split_sha256("test")


def test_clips_left_out_leave_the_others_in_their_groups(scene: Path) -> None:
    groups = write_groups(scene)
    source = TaskSource(scene, skipped={"train": ("train-0001.wav",)})
    task = source.read()
    assert task == without_clips(read_task(scene), source.skipped)
    assert [clip.group for clip in task.clips["train"]] == [
        groups[f"train-{i:04d}.wav"] for i in (0, 2, 3)
    ]


def fold(groups: tuple[str, ...] | None) -> FoldPredictions:
    return FoldPredictions(
        "test",
        ("c.wav", "a.wav", "b.wav"),
        np.full((1, 3, 2), 0.5, np.float32),
        np.array([0, 1, 1]),
        np.arange(4),
        groups=groups,
    )


@pytest.mark.parametrize("groups", [None, ("x", "ü", "x")])
def test_predictions_keep_groups(tmp_path: Path, groups) -> None:
    write_predictions(fold(groups), tmp_path)
    with np.load(tmp_path / "test.predictions.npz", allow_pickle=False) as saved:
        assert ("groups" in saved.files) == (groups is not None)
    assert read_predictions(tmp_path, "test").groups == groups


def test_groups_stay_with_their_clips_in_another_order() -> None:
    assert in_order(fold(("x", "y", "z"))).groups == ("y", "z", "x")
    assert in_order(fold(None)).groups is None


@pytest.mark.parametrize(
    "groups", [("x", "y"), ("x", "", "y"), (1, 2, 3), (("x",), ("y",), ("z",))]
)
def test_damaged_groups_are_refused(tmp_path: Path, groups) -> None:
    write_predictions(fold(None), tmp_path)
    path = tmp_path / "test.predictions.npz"
    with np.load(path, allow_pickle=False) as saved:
        arrays = {name: saved[name] for name in saved.files}
    np.savez(path, **arrays, groups=np.array(groups))
    with pytest.raises(UserError, match=r"predictions\.npz: groups are not 3 names"):
        read_predictions(tmp_path, "test")


class Counting(Listener):
    def __init__(self) -> None:
        self.done: list[str] = []

    def embedded(self, unit) -> None:
        self.done.append("embedded")

    def probed(self, evaluation) -> None:
        self.done.append("probed")

    def scored(self, evaluation) -> None:
        self.done.append("scored")


def test_other_groups_score_again_but_neither_embed_nor_probe(tmp_path: Path) -> None:
    directory = task_directories.make_task(tmp_path / "tasks", "scene", n=8, seconds=0.3)
    model = ModelSpec("harness.baselines.logmel", name="logmel")
    settings = Settings((model,), (TaskSource(directory),), ("knn",), out=tmp_path / "run")

    def run(chosen: Settings) -> tuple[set[str], tuple[str, ...] | None]:
        listener = Counting()
        plan = make_plan(chosen)
        assert not execute(plan, InlineEngine("cpu"), chosen.out, "test", listener).failures
        return set(listener.done), read_predictions(plan[0].directory, "test").groups

    assert run(settings) == ({"embedded", "probed", "scored"}, None)
    groups = write_groups(directory)
    tested = tuple(groups[f"test-{i:04d}.wav"] for i in range(8))
    assert run(settings) == ({"scored"}, tested)
    assert run(settings) == (set(), tested)
    (directory / "groups.csv").unlink()
    derived = dataclasses.replace(settings, tasks=(TaskSource(directory, group_pattern=PATTERN),))
    assert run(derived) == ({"scored"}, ("0",) * 8)
    assert run(settings) == (set(), None)


def test_a_group_has_one_spelling_and_others_that_read_the_same_are_warned_of(scene: Path) -> None:
    groups = write_groups(scene)
    first, second, third, *_ = groups
    text = (scene / "groups.csv").read_text()
    text = text.replace(f"{first},{groups[first]}", f"{first},Jos\u00e9")
    text = text.replace(f"{second},{groups[second]}", f"{second},Jose\u0301 ")
    text = text.replace(f"{third},{groups[third]}", f"{third},jos\u00e9")
    (scene / "groups.csv").write_text(text)
    read = {clip.name: clip.group for clips in read_task(scene).clips.values() for clip in clips}
    assert read[first] == read[second] == "Jos\u00e9"
    said = [finding.reason for finding in check_task(scene, closely=True)]
    assert any("read the same and differ in capitals" in reason for reason in said)
