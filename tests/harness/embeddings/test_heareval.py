from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from support import task_directories

from harness.core.errors import UserError
from harness.embeddings.embed import embed_split
from harness.embeddings.heareval import permutations, write_layout
from harness.embeddings.heareval_reader import read_layout
from harness.embeddings.store import read_split
from harness.metrics.events import frame_targets
from harness.models.loading import load_module
from harness.models.spec import ModelSpec
from tasks.audio import ContentHashes
from tasks.format.task import read_task, without_clips


@pytest.fixture(scope="module")
def model():
    return load_module(ModelSpec("harness.baselines.logmel"), "cpu")


def written(root: Path, model, kind: str, leave_out: tuple[str, ...] = (), **options):
    """A task, its embeddings, and the directory they were written to for the original kit."""
    task = read_task(task_directories.make_task(root / "tasks", kind, n=5, **options))
    if leave_out:
        task = without_clips(task, {task.splits[0]: leave_out})
    hashes = ContentHashes(root / "hashes.json")
    embeddings = {
        split: read_split(embed_split(task, split, model, root / "out", hashes))
        for split in task.splits
    }
    directory = root / "embeddings" / "logmel" / task.name
    write_layout(task, embeddings, directory)
    return task, embeddings, directory


def test_files_are_permuted_as_the_kit_does():
    # What heareval 2021.1.3 made of splits of 6, 3 and 5 files.
    assert list(permutations([6, 3, 5])) == [[4, 2, 1, 0, 5, 3], [0, 2, 1], [1, 0, 4, 2, 3]]


@pytest.mark.parametrize("kind", ["scene", "kfold", "multilabel", "pitch", "events", "notes"])
def test_what_was_written_is_read(tmp_path, model, kind):
    task, embeddings, directory = written(tmp_path, model, kind)
    back, read = read_layout(directory)
    assert (back.name, back.clips, back.labels) == (task.name, task.clips, task.labels)
    assert back.sha256 == task.sha256
    for split in task.splits:
        assert read[split].clips == embeddings[split].clips
        np.testing.assert_array_equal(read[split].embeddings, embeddings[split].embeddings)
        np.testing.assert_array_equal(read[split].offsets, embeddings[split].offsets)
        assert read[split].manifest["hop_ms"] == embeddings[split].manifest["hop_ms"]
        if task.embedding_type == "event":
            np.testing.assert_array_equal(read[split].timestamps, embeddings[split].timestamps)
        else:
            assert read[split].timestamps is None


@pytest.mark.parametrize("kind", ["multilabel", "events"])
def test_the_rows_labels_are_those_of_their_clips(tmp_path, model, kind):
    task, embeddings, directory = written(tmp_path, model, kind)
    labels = pickle.loads((directory / "train.target-labels.pkl").read_bytes())
    rows = np.fromfile(directory / "train.embeddings.npy", np.float32).reshape(-1, 128)
    assert len(labels) == len(rows)
    embedded = embeddings["train"]
    for i, clip in enumerate(task.clips["train"]):
        for row in range(embedded.offsets[i], embedded.offsets[i + 1]):
            expected = set(clip.labels)
            if embedded.timestamps is not None:
                active = frame_targets(embedded.timestamps[[row]], clip.events, task.labels)[0]
                expected = {task.labels[k] for k in np.flatnonzero(active)}
            (place,) = np.flatnonzero((rows == embedded.embeddings[row]).all(1))
            assert set(labels[place]) == expected


def test_nothing_is_unpickled(tmp_path, model):
    _, _, directory = written(tmp_path, model, "scene")
    for pickled in directory.glob("*.pkl"):
        pickled.write_bytes(b"cos\nabort\n(tR.")
    read_layout(directory)


def test_clips_left_out_stay_out(tmp_path, model):
    _, embeddings, directory = written(tmp_path, model, "scene", ("train-0001.wav",))
    back, read = read_layout(directory)
    assert [clip.name for clip in back.clips["train"]] == list(embeddings["train"].clips)
    assert len(back.clips["train"]) == 4
    np.testing.assert_array_equal(read["train"].embeddings, embeddings["train"].embeddings)
    np.testing.assert_array_equal(read["test"].embeddings, embeddings["test"].embeddings)


def test_groups_go_with_the_embeddings(tmp_path, model):
    task, embeddings, directory = written(tmp_path, model, "scene")
    assert not (directory / "groups.csv").exists()
    pattern = r"\w+-\d{3}(\d)\.wav"
    grouped = read_task(task.directory, pattern)
    write_layout(grouped, embeddings, directory)
    assert read_layout(directory)[0].sha256 == grouped.sha256
    assert [clip.group for clip in read_layout(directory)[0].clips["test"]] == list("01234")
    write_layout(task, embeddings, directory)
    assert read_layout(directory)[0].sha256 == task.sha256
    assert read_layout(directory, pattern)[0].sha256 == grouped.sha256


def test_the_kits_files_of_single_clips_are_compared(tmp_path, model):
    _, embeddings, directory = written(tmp_path, model, "scene")
    folder = directory / "valid"
    folder.mkdir()
    for name, row in zip(embeddings["valid"].clips, embeddings["valid"].embeddings, strict=True):
        np.save(folder / f"{name}.embedding.npy", row)
    read_layout(directory)
    names = json.loads((directory / "valid.json").read_text())
    (directory / "valid.json").write_text(json.dumps(dict(reversed(names.items()))))
    with pytest.raises(UserError, match="order was changed"):
        read_layout(directory)


def test_writing_again_leaves_the_same_replaces_the_old_and_spares_the_kits(tmp_path, model):
    task, embeddings, directory = written(tmp_path, model, "scene")
    before = (directory / "train.embeddings.npy").stat().st_mtime_ns
    write_layout(task, embeddings, directory)
    assert (directory / "train.embeddings.npy").stat().st_mtime_ns == before
    first = embeddings["train"]
    manifest = {**first.manifest, "fingerprint": "other"}
    other = {**embeddings, "train": dataclasses.replace(first, manifest=manifest)}
    write_layout(task, other, directory)
    assert (directory / "train.embeddings.npy").stat().st_mtime_ns != before
    (directory / "test.predicted-scores.json").write_text("{}")
    with pytest.raises(UserError, match="results of the original kit"):
        write_layout(task, embeddings, directory)
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    with pytest.raises(UserError, match="move it away"):
        write_layout(task, embeddings, thesis)


def drop_rows(directory: Path) -> None:
    path = directory / "train.embeddings.npy"
    path.write_bytes(path.read_bytes()[:-512])


def drop_clip(directory: Path) -> None:
    task_directories.edit_json(directory / "train.json", lambda clips: clips.popitem() and None)


def poison(directory: Path) -> None:
    rows = np.memmap(directory / "train.embeddings.npy", np.float32, mode="r+")
    rows[0] = np.nan


@pytest.mark.parametrize("kind", ["scene", "events"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: (d / ".done.embeddings").unlink(), "not a finished"),
        (drop_rows, "bytes, but"),
        (lambda d: (d / "valid.embedding-dimensions.json").unlink(), "valid.embedding-dimensions"),
        (lambda d: (d / "test.embedding-dimensions.json").write_text("[0, 0]"), "bytes, but"),
        (drop_clip, "clips"),
        (poison, "NaN or infinite.*train-000"),
    ],
)
def test_damage_is_named(tmp_path, model, kind, damage, said):
    _, _, directory = written(tmp_path, model, kind)
    damage(directory)
    with pytest.raises(UserError, match=said):
        read_layout(directory)
