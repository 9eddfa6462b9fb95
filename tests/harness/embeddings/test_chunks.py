"""Chunks of a long split: joined, they are the store that one piece would have been."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import task_directories

from harness.core.errors import UserError
from harness.core.kinds import EmbeddingType
from harness.embeddings import chunks as chunks_module
from harness.embeddings.batches import batches, limits
from harness.embeddings.chunks import Chunk, embed_chunk, join_chunks, plan_chunks
from harness.embeddings.embed import embed_split
from harness.embeddings.fingerprint import (
    audio_sha256s,
    embedding_directory,
    embedding_fingerprint,
)
from harness.models.loading import load_module
from harness.models.module import HearModule
from harness.models.spec import ModelSpec
from tasks.audio import ContentHashes, audio_path
from tasks.format.task import Task, read_task

EQUAL = (16000,) * 24
MIXED = (16000, 8000, 4001, 16000, 30000, 8000, 4001, 16000, 200000, 8000, 4003, 16000, 8000)


def make(root: Path, kind: str, lengths: tuple[int, ...]) -> Task:
    """A task whose training clips have these lengths in samples at 16 kHz."""
    directory = task_directories.make_task(root, kind, n=len(lengths))
    rng = np.random.default_rng(1)
    for i, samples in enumerate(lengths):
        path = directory / "16000" / "train" / f"train-{i:04d}.wav"
        task_directories.write_wav(path, rng.uniform(-0.9, 0.9, samples), 16000)
    return read_task(directory)


def divide(task: Task, module: HearModule, out: Path, hashes: ContentHashes):
    """The folder of the training split, and its chunks of one second."""
    fingerprint = embedding_fingerprint(task, "train", module, hashes)
    directory = embedding_directory(out, module.spec, task, "train", fingerprint)
    audio = audio_sha256s(task, "train", 16000, hashes)
    lengths = [
        (audio_path(task, "train", clip.name, 16000).stat().st_size - 44) // 2
        for clip in task.clips["train"]
    ]
    event = task.embedding_type == EmbeddingType.EVENT
    return directory, plan_chunks(directory, lengths, audio, 16000, event=event)


def content(directory: Path) -> dict[str, object]:
    """All bytes of a store; of the manifest all but the seconds that the work took."""
    found: dict[str, object] = {}
    for path in sorted(directory.iterdir()):
        found[path.name] = path.read_bytes()
        if path.suffix == ".json":
            found[path.name] = {
                key: value
                for key, value in json.loads(path.read_bytes()).items()
                if key != "embed_seconds"
            }
    return found


@pytest.mark.parametrize("kind", ["scene", "events"])
@pytest.mark.parametrize("lengths", [EQUAL, MIXED], ids=["equal", "mixed"])
@pytest.mark.parametrize("model", ["hear_byola", "harness.baselines.logmel"])
def test_joined_chunks_have_the_bytes_of_one_piece(tmp_path, monkeypatch, kind, lengths, model):
    monkeypatch.setattr(chunks_module, "SHORTEST_SECONDS", 4.0)
    task, hashes = make(tmp_path / "tasks", kind, lengths), ContentHashes(tmp_path / "h.json")
    module = load_module(ModelSpec(model), "cpu")
    directory, chunks = divide(task, module, tmp_path / "parts", hashes)
    assert len(chunks) >= 2
    done: list[int] = []
    for chunk in reversed(chunks):  # the order in which workers finish does not matter
        embed_chunk(chunk, task, "train", module, hashes, progress=done.append)
    assert sum(done) == len(lengths)
    join_chunks(directory, chunks, task, "train", module, hashes)
    assert list(directory.parent.iterdir()) == [directory]  # the chunks are gone
    whole = embed_split(task, "train", module, tmp_path / "whole", hashes)
    assert content(directory) == content(whole)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 20), st.booleans())
def test_chunks_hold_every_call_once(lengths: list[int], seconds: int, event: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks_module, "SHORTEST_SECONDS", float(seconds))
        chunks = plan_chunks(Path("x"), lengths, ["a"] * len(lengths), 1, event=event)
    if not chunks:
        assert sum(lengths) < 2 * seconds
        return
    found = [
        tuple(int(clip) for clip in call)
        for chunk in chunks
        for call in np.split(chunk.clips, np.cumsum(chunk.calls)[:-1])
    ]
    calls = batches(map(range, lengths), limits(1, "cpu", event=event))
    assert found == [tuple(batch.clips) for batch in calls]
    assert sum(chunk.seconds for chunk in chunks) == sum(lengths)
    assert len({chunk.directory for chunk in chunks}) == len(chunks)


def test_a_short_split_is_not_divided() -> None:
    assert plan_chunks(Path("x"), [16000] * 299, ["a"] * 299, 16000, event=False) == ()


def test_chunks_are_of_equal_length_and_a_name_follows_the_audio() -> None:
    def planned(audio: str) -> tuple[Chunk, ...]:
        return plan_chunks(Path("x"), [64000] * 1500, [audio] * 1500, 16000, event=False)

    one = planned("a")
    assert len(one) == 12
    assert max(c.seconds for c in one) - min(c.seconds for c in one) <= 10
    assert not {c.directory for c in one} & {c.directory for c in planned("b")}


def test_audio_that_is_not_that_of_the_plan_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks_module, "SHORTEST_SECONDS", 4.0)
    task, hashes = make(tmp_path / "tasks", "scene", EQUAL), ContentHashes(tmp_path / "h.json")
    module = load_module(ModelSpec("harness.baselines.logmel"), "cpu")
    directory, chunks = divide(task, module, tmp_path / "out", hashes)
    path = audio_path(task, "train", "train-0000.wav", 16000)
    original = path.read_bytes()
    task_directories.write_wav(path, np.zeros(16000), 16000)
    with pytest.raises(UserError, match=r"Audio of tiny_.*split train, changed while"):
        embed_chunk(chunks[0], task, "train", module, hashes)
    assert not chunks[0].directory.exists()
    # Audio that changes between chunk and joining is refused there.
    path.write_bytes(original)
    for chunk in chunks:
        embed_chunk(chunk, task, "train", module, hashes)
    task_directories.write_wav(path, np.zeros(16000), 16000)
    with pytest.raises(UserError, match="changed while it was embedded"):
        join_chunks(directory, chunks, task, "train", module, hashes)
    assert not directory.exists()
